//! Diagnostics for people. The only place that knows annotate-snippets.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use super::{Diagnostic, Severity};

/// Widest line of a rendering in columns: diagnostics are written to logs and files as well as to terminals.
const WIDTH: usize = 120;

pub(super) fn render(diagnostic: &Diagnostic, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code);
    let file = &*diagnostic.file;

    let mut group = match &diagnostic.location {
        None => title.element(Origin::path(file)),
        Some(location) => match &location.excerpt {
            None => title.element(
                Origin::path(file)
                    .line(location.line)
                    .char_column(location.column),
            ),
            Some(excerpt) => title.element(
                Snippet::source(&*excerpt.text)
                    .path(file)
                    .line_start(location.line)
                    .annotation(
                        AnnotationKind::Primary
                            .span(excerpt.span.clone())
                            .label(diagnostic.label.as_deref()),
                    ),
            ),
        },
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }

    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer
        .decor_style(DecorStyle::Ascii)
        .term_width(WIDTH)
        .render(&[group])
}

#[cfg(test)]
mod tests {
    use crate::{Diagnostic, Severity, Source};

    #[test]
    fn plain_text_shows_code_place_excerpt_and_help() {
        let text = "[gateway]\r\ndomian = \"contoso.com\"\r\n";
        let fault = Source::new("holdover.toml", text)
            .error("HC003", 11..17, "unknown key `domian` in [gateway]")
            .label("unknown key")
            .help("did you mean `domain`?");
        assert_eq!(
            fault.render(false),
            "\
error[HC003]: unknown key `domian` in [gateway]
 --> holdover.toml:2:1
  |
2 | domian = \"contoso.com\"
  | ^^^^^^ unknown key
  |
  = help: did you mean `domain`?"
        );
        assert!(fault.render(true).contains("\u{1b}["));
    }

    #[test]
    fn a_secret_line_is_not_shown() {
        let fault = Source::new("users.toml", "\"ann\" = \"secret\"")
            .hide_text()
            .error("HC000", 8..16, "bad");
        assert_eq!(fault.render(false), "error[HC000]: bad\n--> users.toml:1:9");
    }

    #[test]
    fn a_whole_file_has_no_line() {
        let fault = Diagnostic::whole_file(Severity::Warning, "HC000", "f", "odd").help("look");
        assert_eq!(
            fault.render(false),
            "warning[HC000]: odd\n--> f\n = help: look"
        );
    }
}
