//! Reports as one HTML file: no script, no font, no request to anywhere.

use super::{Block, Finding, Page};
use crate::escape::xml;
use crate::{Cell, Mark, Table};

/// Cells up to this long are not broken over lines.
const SHORT: usize = 24;
/// From this length on, a cell gets some width.
const LONG: usize = 32;

/// Wide tables scroll by themselves; the colours follow the reader's light or dark setting.
const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1c1c1c;--back:#fff;--soft:#666;--line:#ddd;--shade:#f5f5f5}
@media(prefers-color-scheme:dark){:root{--text:#e4e4e4;--back:#171717;--soft:#a0a0a0;--line:#3a3a3a;--shade:#222}}
body{color:var(--text);background:var(--back);font:16px/1.5 system-ui,sans-serif;max-width:78rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid var(--line)}
nav a{margin-right:1rem}a{color:inherit}
.wide{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;font-size:.9rem}caption{text-align:left;color:var(--soft);padding-bottom:.3rem}
th,td{padding:.25rem .7rem;border-bottom:1px solid var(--line);text-align:left;white-space:pre-wrap}
th{background:var(--shade)}.n{text-align:right;font-variant-numeric:tabular-nums}.s{white-space:nowrap}.l{min-width:15rem}p,ul.findings,nav{max-width:62rem}
pre{background:var(--shade);padding:.7rem;overflow-x:auto}
svg{max-width:100%;height:auto}
ul.findings{list-style:none;padding:0}ul.findings li{border-left:4px solid var(--line);padding:.1rem 0 .1rem .9rem;margin:1rem 0}
ul.findings p{margin:.25rem 0}ul.findings .note{color:var(--soft);font-size:.93rem}ul.findings .said{font-weight:600}
.badge{display:inline-block;border-radius:.6rem;padding:0 .55rem;font-size:.85em;font-weight:600;white-space:nowrap;color:#fff}
.good{background:#00714f}.bad{background:#b3400a}.mixed{background:#8a5a00}.open{background:#5b6770}
ul.findings li.good{background:none;border-color:#009e73}ul.findings li.bad{background:none;border-color:#d55e00}
ul.findings li.mixed{background:none;border-color:#e69f00}ul.findings li.open{background:none;border-color:#8a97a1}
@media print{nav{display:none}body{max-width:none;margin:0}section,li,tr,figure{break-inside:avoid}section{break-inside:auto}
.badge{border:1px solid currentColor;color:inherit;background:none}.wide{overflow:visible}}";

impl Page {
    /// The report as one HTML document. Every text is escaped; a content security policy forbids scripts and
    /// requests altogether.
    pub fn html(&self) -> String {
        let mut out = String::from(concat!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
            "<meta http-equiv=\"Content-Security-Policy\" ",
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        ));
        let title = xml(&self.title);
        out.push_str(&format!("<title>{title}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n"));
        out.push_str(&format!("<h1>{title}</h1>\n<p>{}</p>\n<nav>", xml(&self.summary)));
        for (i, section) in self.sections.iter().enumerate() {
            out.push_str(&format!("<a href=\"#part-{i}\">{}</a>\n", xml(&section.heading)));
        }
        out.push_str("</nav>\n");
        for (i, section) in self.sections.iter().enumerate() {
            out.push_str(&format!("<section>\n<h2 id=\"part-{i}\">{}</h2>\n", xml(&section.heading)));
            section.blocks.iter().for_each(|block| push_block(&mut out, block));
            out.push_str("</section>\n");
        }
        out.push_str("</body>\n</html>\n");
        out
    }
}

fn push_block(out: &mut String, block: &Block) {
    match block {
        Block::Text(text) => out.push_str(&format!("<p>{}</p>\n", xml(text))),
        Block::Code(code) => out.push_str(&format!("<pre><code>{}</code></pre>\n", xml(code))),
        Block::Table(caption, table) => push_table(out, caption, table),
        Block::Findings(findings) => {
            out.push_str("<ul class=\"findings\">\n");
            findings.iter().for_each(|finding| push_finding(out, finding));
            out.push_str("</ul>\n");
        }
        Block::Plot(svg) => out.push_str(&format!("<figure class=\"wide\">\n{svg}</figure>\n")),
    }
}

fn class(mark: Mark) -> &'static str {
    match mark {
        Mark::Good => "good",
        Mark::Bad => "bad",
        Mark::Mixed => "mixed",
        Mark::Open => "open",
    }
}

fn push_finding(out: &mut String, finding: &Finding) {
    let class = class(finding.mark);
    let badge = format!("<span class=\"badge {class}\">{}</span>", xml(&finding.word));
    out.push_str(&format!("<li class=\"{class}\"><p class=\"said\">{badge} {}</p>\n", xml(&finding.text)));
    for note in &finding.notes {
        out.push_str(&format!("<p class=\"note\">{}</p>\n", xml(note)));
    }
    if let Some((text, address)) = &finding.link {
        out.push_str(&format!("<p class=\"note\"><a href=\"{}\">{}</a></p>\n", xml(address), xml(text)));
    }
    out.push_str("</li>\n");
}

/// A cell of a table.
fn cell_html(cell: &Cell) -> String {
    let text = xml(&cell.text());
    match cell {
        Cell::Badge(mark, _) => format!("<span class=\"badge {}\">{text}</span>", class(*mark)),
        Cell::Link { address, .. } => format!("<a href=\"{}\">{text}</a>", xml(address)),
        _ => text,
    }
}

fn push_table(out: &mut String, caption: &str, table: &Table) {
    out.push_str("<div class=\"wide\"><table>\n");
    if !caption.is_empty() {
        out.push_str(&format!("<caption>{}</caption>\n", xml(caption)));
    }
    let class = |column: usize| if table.is_numeric(column) { " class=\"n\"" } else { "" };
    let classes: Vec<&str> = (0..table.columns().len()).map(class).collect();
    out.push_str("<thead><tr>");
    for (name, class) in table.columns().iter().zip(&classes) {
        out.push_str(&format!("<th scope=\"col\"{class}>{}</th>", xml(name)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in table.rows() {
        out.push_str("<tr>");
        for (cell, class) in row.iter().zip(&classes) {
            // A short cell, such as an interval, stays on one line; a sentence does not become a column of words. In a
            // column of numbers all are short.
            let class = match cell.text().chars().count() {
                _ if !class.is_empty() => class,
                0..=SHORT => " class=\"s\"",
                LONG.. => " class=\"l\"",
                _ => "",
            };
            out.push_str(&format!("<td{class}>{}</td>", cell_html(cell)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

#[cfg(test)]
mod tests {
    use super::super::Section;
    use super::*;
    use crate::plot::{LineChart, Series};

    fn page(word: &str) -> String {
        let mut table = Table::new([word, "value"]);
        table.push([Cell::from(word), Cell::decimals(0.5, 2)]).unwrap();
        table.push([Cell::Badge(Mark::Good, word.into()), Cell::Empty]).unwrap();
        table.push([Cell::Link { text: word.into(), address: word.into() }, Cell::Empty]).unwrap();
        let chart = LineChart {
            title: word.into(),
            x_label: word.into(),
            y_label: word.into(),
            series: vec![Series { name: word.into(), points: vec![(0.0, 1.0), (1.0, 2.0)] }],
        };
        let finding = Finding {
            mark: Mark::Bad,
            word: word.into(),
            text: word.into(),
            notes: vec![word.into()],
            link: Some((word.into(), word.into())),
        };
        let blocks = vec![
            Block::Findings(vec![finding]),
            Block::Text(word.into()),
            Block::Code(word.into()),
            Block::Table(word.into(), table),
            Block::Plot(chart.svg()),
        ];
        let sections = vec![Section { heading: word.into(), blocks }];
        Page { title: word.into(), summary: word.into(), sections }.html()
    }

    #[test]
    fn everything_is_escaped() {
        let html = page("<script>alert('x')</script> & \"more\"");
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("& "), "{html}");
    }

    #[test]
    fn nothing_is_fetched_or_run() {
        let html = page("plain");
        for reference in ["src=", "href=\"http", "url(", "@import", "<link", "<script", "onload"] {
            assert!(!html.contains(reference), "{reference}");
        }
        // The one address is the name of the SVG language, which nobody fetches.
        assert_eq!(html.matches("http").count() - html.matches("http-equiv").count(), 1);
    }

    #[test]
    fn tags_are_closed_in_order() {
        let html = page("plain");
        let mut open: Vec<String> = Vec::new();
        for tag in html.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap();
            let name: String =
                tag.trim_start_matches('/').chars().take_while(|c| c.is_alphanumeric()).collect();
            if tag.starts_with('/') {
                assert_eq!(open.pop().as_ref(), Some(&name));
            } else if !tag.ends_with('/') && !tag.starts_with('!') && name != "meta" {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn numbers_are_set_to_the_right() {
        assert!(page("plain").contains("<td class=\"n\">0.50</td>"));
    }
}
