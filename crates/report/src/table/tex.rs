//! Text for LaTeX.

/// Characters that pdfLaTeX does not know, and commands that print them.
const COMMANDS: [(char, &str); 52] = [
    ('≈', r"\ensuremath{\approx}"),
    ('≤', r"\ensuremath{\leq}"),
    ('≥', r"\ensuremath{\geq}"),
    ('≠', r"\ensuremath{\neq}"),
    ('≡', r"\ensuremath{\equiv}"),
    ('≪', r"\ensuremath{\ll}"),
    ('≫', r"\ensuremath{\gg}"),
    ('∝', r"\ensuremath{\propto}"),
    ('·', r"\ensuremath{\cdot}"),
    ('⋅', r"\ensuremath{\cdot}"),
    ('×', r"\ensuremath{\times}"),
    ('÷', r"\ensuremath{\div}"),
    ('±', r"\ensuremath{\pm}"),
    ('−', r"\ensuremath{-}"),
    ('√', r"\ensuremath{\surd}"),
    ('∞', r"\ensuremath{\infty}"),
    ('∑', r"\ensuremath{\sum}"),
    ('∏', r"\ensuremath{\prod}"),
    ('∫', r"\ensuremath{\int}"),
    ('∂', r"\ensuremath{\partial}"),
    ('∈', r"\ensuremath{\in}"),
    ('→', r"\ensuremath{\rightarrow}"),
    ('←', r"\ensuremath{\leftarrow}"),
    ('⇒', r"\ensuremath{\Rightarrow}"),
    ('↦', r"\ensuremath{\mapsto}"),
    ('‖', r"\ensuremath{\|}"),
    ('⌈', r"\ensuremath{\lceil}"),
    ('⌉', r"\ensuremath{\rceil}"),
    ('⌊', r"\ensuremath{\lfloor}"),
    ('⌋', r"\ensuremath{\rfloor}"),
    ('⟨', r"\ensuremath{\langle}"),
    ('⟩', r"\ensuremath{\rangle}"),
    ('∘', r"\ensuremath{\circ}"),
    ('′', r"\ensuremath{'}"),
    ('ℓ', r"\ensuremath{\ell}"),
    ('…', r"\ldots{}"),
    ('–', "--"),
    ('—', "---"),
    ('‘', "`"),
    ('’', "'"),
    ('“', "``"),
    ('”', "''"),
    ('\u{a0}', "~"),
    ('\u{202f}', r"\,"),
    ('¬', r"\ensuremath{\neg}"),
    ('µ', r"\ensuremath{\mu}"),
    ('½', r"\ensuremath{\frac12}"),
    ('¼', r"\ensuremath{\frac14}"),
    ('°', r"\textdegree{}"),
    ('§', r"\S{}"),
    ('✓', r"\ensuremath{\surd}"),
    ('∼', r"\ensuremath{\sim}"),
];

const GREEK: [(char, &str); 33] = [
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('ε', "varepsilon"),
    ('ζ', "zeta"),
    ('η', "eta"),
    ('θ', "theta"),
    ('ι', "iota"),
    ('κ', "kappa"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('ν', "nu"),
    ('ξ', "xi"),
    ('π', "pi"),
    ('ρ', "rho"),
    ('σ', "sigma"),
    ('τ', "tau"),
    ('υ', "upsilon"),
    ('φ', "varphi"),
    ('ϕ', "phi"),
    ('χ', "chi"),
    ('ψ', "psi"),
    ('ω', "omega"),
    ('Γ', "Gamma"),
    ('Δ', "Delta"),
    ('Θ', "Theta"),
    ('Λ', "Lambda"),
    ('Π', "Pi"),
    ('Σ', "Sigma"),
    ('Φ', "Phi"),
    ('Ψ', "Psi"),
    ('Ω', "Omega"),
];

const RAISED: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱᵀᵏˡᵐᵖˣ";
const RAISED_AS: &str = "0123456789+-niTklmpx";
const LOWERED: &str = "₀₁₂₃₄₅₆₇₈₉₊₋ₐₑᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ";
const LOWERED_AS: &str = "0123456789+-aeijklmnoprstuvx";

/// `text` so that LaTeX prints it letter by letter.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for (i, c) in text.char_indices() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str(r"\textbackslash{}"),
            '~' => out.push_str(r"\textasciitilde{}"),
            '^' => out.push_str(r"\textasciicircum{}"),
            '<' => out.push_str(r"\textless{}"),
            '>' => out.push_str(r"\textgreater{}"),
            '|' => out.push_str(r"\textbar{}"),
            // At the start of a row these would be read as arguments of the `\\` before it.
            '[' | '*' if i == 0 => {
                out.push('{');
                out.push(c);
                out.push('}');
            }
            // Two hyphens would become a dash.
            '-' if before == '-' => out.push_str("{}-"),
            '\n' | '\r' => out.push(' '),
            ' '..='~' => out.push(c),
            _ => other(&mut out, c),
        }
        before = c;
    }
    out
}

fn other(out: &mut String, c: char) {
    let counterpart = |from: &str, to: &str| to.chars().nth(from.chars().position(|known| known == c)?);
    if let Some((_, command)) = COMMANDS.iter().find(|(known, _)| *known == c) {
        out.push_str(command);
    } else if let Some((_, name)) = GREEK.iter().find(|(known, _)| *known == c) {
        out.push_str(&format!(r"\ensuremath{{\{name}}}"));
    } else if let Some(raised) = counterpart(RAISED, RAISED_AS) {
        out.push_str(&format!(r"\textsuperscript{{{raised}}}"));
    } else if let Some(lowered) = counterpart(LOWERED, LOWERED_AS) {
        out.push_str(&format!(r"\textsubscript{{{lowered}}}"));
    } else if c.is_alphabetic() && ('\u{c0}'..='\u{17e}').contains(&c) {
        // Letters of Latin-1 and Latin Extended-A, which T1 fonts have.
        out.push(c);
    } else {
        out.push_str(&format!("{{[}}U+{:04X}{{]}}", u32::from(c)));
    }
}
