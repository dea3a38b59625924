//! Reports as LaTeX documents, for pdfLaTeX with the packages of any installation.

use super::{Block, Page};
use crate::table::escape_latex as escape;

const PREAMBLE: &str = r"\documentclass[10pt,a4paper,landscape]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage[margin=1.5cm]{geometry}
\usepackage{array}
\usepackage{booktabs}
\usepackage{longtable}
\setlength{\parindent}{0pt}
\setlength{\parskip}{4pt}
";

impl Page {
    /// The report as a LaTeX document. Plots are left out: they are files of their own.
    pub fn latex(&self) -> String {
        let mut out = String::from(PREAMBLE);
        out.push_str(&format!("\\title{{{}}}\n\\date{{}}\n\\begin{{document}}\n", escape(&self.title)));
        out.push_str(&format!("\\maketitle\n{}\n", escape(&self.summary)));
        for section in &self.sections {
            out.push_str(&format!("\n\\section*{{{}}}\n", escape(&section.heading)));
            section.blocks.iter().for_each(|block| push(&mut out, block));
        }
        out.push_str("\\end{document}\n");
        out
    }
}

fn push(out: &mut String, block: &Block) {
    match block {
        Block::Text(text) => out.push_str(&format!("{}\n\n", escape(text))),
        Block::Code(code) => {
            out.push_str("{\\ttfamily\\footnotesize\\raggedright\n");
            for line in code.lines() {
                let indent = line.len() - line.trim_start().len();
                out.push_str(&format!(
                    "\\mbox{{}}{}{}\\par\n",
                    "~".repeat(indent),
                    escape(line.trim_start())
                ));
            }
            out.push_str("}\n\n");
        }
        Block::Findings(findings) if findings.is_empty() => {}
        Block::Findings(findings) => {
            out.push_str("\\begin{itemize}\n");
            for finding in findings {
                out.push_str(&format!(
                    "\\item \\textbf{{{}}}: {}\n\n",
                    escape(&finding.word),
                    escape(&finding.text)
                ));
                for note in &finding.notes {
                    out.push_str(&format!("{}\n\n", escape(note)));
                }
            }
            out.push_str("\\end{itemize}\n");
        }
        Block::Table(caption, table) => {
            if !caption.is_empty() {
                out.push_str(&format!("{}\n\n", escape(caption)));
            }
            if !table.rows().is_empty() {
                out.push_str(&format!("{{\\scriptsize\n{}}}\n", table.latex_pages()));
            }
        }
        Block::Plot(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Finding, Section};
    use super::*;
    use crate::{Cell, Mark, Table};

    #[test]
    fn everything_is_escaped_and_every_group_is_closed() {
        let word = "50% of {x}_1 & ≈ 2·10³ \\ ünd 中 --seed".to_owned();
        let mut table = Table::new([word.clone(), "n".into()]);
        table.push([Cell::from(word.clone()), Cell::decimals(-1.0, 1)]).unwrap();
        let finding = Finding {
            mark: Mark::Bad,
            word: word.clone(),
            text: word.clone(),
            notes: vec![word.clone()],
            link: None,
        };
        let blocks = vec![
            Block::Text(word.clone()),
            Block::Code(format!("{word}\n\n  {word}")),
            Block::Findings(vec![finding]),
            Block::Table(word.clone(), table),
        ];
        let sections = vec![Section { heading: word.clone(), blocks }];
        let text = Page { title: word.clone(), summary: word, sections }.latex();
        assert!(!text.contains("50% ") && !text.contains("}_1") && !text.contains('≈'), "{text}");
        assert!(
            text.contains(
                r"50\% of \{x\}\_1 \& \ensuremath{\approx} 2\ensuremath{\cdot}10\textsuperscript{3}"
            ),
            "{text}"
        );
        assert!(text.contains("ünd {[}U+4E2D{]}") && text.contains("-{}-seed"), "{text}");
        let depth = text.replace(r"\{", "").replace(r"\}", "").chars().fold(0i32, |depth, c| match c {
            '{' => depth + 1,
            '}' => depth - 1,
            _ => depth,
        });
        assert_eq!(depth, 0, "{text}");
    }
}
