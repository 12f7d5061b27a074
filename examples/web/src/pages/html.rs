/// Text that can stand in a page, in quotes also in an attribute.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let escaped = escape("<b title=\"a\" id='b'>&amp;");
        assert_eq!(
            escaped,
            "&lt;b title=&quot;a&quot; id=&#39;b&#39;&gt;&amp;amp;"
        );
    }
}
