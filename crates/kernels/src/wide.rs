//! Loops compiled once for each width of vectors that a processor may have.

/// Defines functions that call an `#[inline(always)]` body compiled for the widest vectors of the processor at hand.
///
/// Products and sums are not fused, so that all processors give the same bits.
macro_rules! widest {
    ($($(#[$about:meta])* $seen:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) = $body:path;)*) => {$(
        $(#[$about])*
        #[allow(unsafe_code)]
        $seen fn $name($($argument: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn wide($($argument: $kind),*) {
                    $body($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                fn middling($($argument: $kind),*) {
                    $body($($argument),*)
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor has what the function is compiled for.
                    return unsafe { wide($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: as above.
                    return unsafe { middling($($argument),*) };
                }
            }
            $body($($argument),*)
        }
    )*};
}

pub(crate) use widest;
