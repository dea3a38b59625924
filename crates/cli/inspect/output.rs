//! What `xexp inspect` prints and writes.

use std::path::Path;

use serde_json::json;
use xexp_inspect::{Inspection, report};
use xexp_report::{Block, atomic};

use super::{Args, provenance};
use crate::args::Format;
use crate::failure::Failure;
use crate::output::clock;
use crate::stdout;

/// Prints the inspection, and writes it to the output folder if there is one: `report.html`, `report.md`,
/// `inspection.json`, a CSV a sheet, and the plots.
///
/// # Errors
/// A folder or a terminal that cannot be written to.
pub fn write(args: &Args, model: &str, inspection: &Inspection) -> Result<(), Failure> {
    let mut object = json!({
        "model": model,
        "command": provenance::command(),
        "version": env!("CARGO_PKG_VERSION"),
        "target": provenance::target(),
        "time": clock(),
    });
    if let (Some(object), serde_json::Value::Object(more)) = (object.as_object_mut(), inspection.json()) {
        object.extend(more);
    }
    let object = stdout::json(&object)?;
    if let Some(folder) = args.shared.output.as_deref() {
        pages(Path::new(folder), model, inspection, &object)?;
    }
    match args.shared.format {
        Format::Json => stdout::write(object.as_bytes()),
        Format::Text => stdout::write(format!("model: {model}\n{}", report::text(inspection)?).as_bytes()),
    }
}

fn pages(folder: &Path, model: &str, inspection: &Inspection, object: &str) -> Result<(), Failure> {
    let page = report::page(inspection, model, &provenance::command())?;
    atomic::write(folder.join("inspection.json"), object)?;
    for sheet in &inspection.sheets {
        atomic::write(folder.join(format!("{}.csv", sheet.id)), sheet.csv()?)?;
    }
    let plots = folder.join("plots");
    for (index, block) in report::plots(inspection).into_iter().enumerate() {
        let Block::Plot(svg) = block else { continue };
        std::fs::create_dir_all(&plots).map_err(|error| {
            Failure::environment(format!("cannot make {}", plots.display())).because(&error)
        })?;
        atomic::write(plots.join(format!("{index:02}.svg")), svg.as_str())?;
    }
    atomic::write(folder.join("report.md"), page.markdown())?;
    atomic::write(folder.join("report.html"), page.html())?;
    Ok(())
}
