//! Text made safe inside XML and HTML.

/// `text` as XML or HTML character data, also inside quoted attributes.
///
/// Characters that XML 1.0 forbids (§2.2: most control characters) become U+FFFD, which shows that something
/// was there.
pub(crate) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_becomes_text() {
        assert_eq!(
            super::xml(r#"<script>alert("1" & '2')</script>"#),
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;"
        );
    }

    #[test]
    fn characters_that_xml_forbids_are_marked() {
        assert_eq!(super::xml("a\u{0}b\u{1b}[0m\tc\u{ffff}"), "a\u{fffd}b\u{fffd}[0m\tc\u{fffd}");
    }
}
