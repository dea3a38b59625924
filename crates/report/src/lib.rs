//! Tables, estimates, atomic files, plots and one-file reports.
