//! Reports in Markdown (GitHub's kind).

use super::{Block, Page};
use crate::table::escape_markdown as escape;

impl Page {
    /// The report in Markdown. Plots are left out: they are files of their own.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n", escape(&self.title), escape(&self.summary));
        for section in &self.sections {
            out.push_str(&format!("\n## {}\n", escape(&section.heading)));
            section.blocks.iter().for_each(|block| push(&mut out, block));
        }
        out
    }
}

fn push(out: &mut String, block: &Block) {
    match block {
        Block::Text(text) => out.push_str(&format!("\n{}\n", escape(text))),
        Block::Code(code) => {
            // Longer than any run of backticks inside.
            let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(longest.max(2) + 1);
            out.push_str(&format!("\n{fence}\n{}\n{fence}\n", code.trim_end_matches('\n')));
        }
        Block::Findings(findings) => {
            out.push('\n');
            for finding in findings {
                out.push_str(&format!("- **{}**: {}\n", escape(&finding.word), escape(&finding.text)));
                for note in &finding.notes {
                    out.push_str(&format!("  <br>{}\n", escape(note)));
                }
                if let Some((text, address)) = &finding.link {
                    out.push_str(&format!("  <br>[{}]({address})\n", escape(text)));
                }
            }
        }
        Block::Table(caption, table) => {
            if !caption.is_empty() {
                out.push_str(&format!("\n{}\n", escape(caption)));
            }
            out.push_str(&format!("\n{}", table.markdown()));
        }
        Block::Plot(_) => {}
    }
}
