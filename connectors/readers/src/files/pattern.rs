//! Patterns of paths: `*` and `?` within a name, `**` across folders, `[ab]`, `{a,b}`.

use dativo_sdk::Error;
use globset::{GlobBuilder, GlobMatcher};

/// A path, or many.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// As given.
    pub text: String,
    /// The folder that all matches are in, with `/` at its end; empty for the current one.
    pub base: String,
    matcher: Option<GlobMatcher>,
}

impl Pattern {
    /// # Errors
    /// When it is no pattern.
    pub(super) fn new(text: &str) -> Result<Self, Error> {
        let special = text.find(['*', '?', '[', '{']);
        let Some(special) = special else {
            return Ok(Self {
                text: text.to_owned(),
                base: String::new(),
                matcher: None,
            });
        };
        let base = text[..special]
            .rfind('/')
            .map_or("", |slash| &text[..=slash]);
        let glob = GlobBuilder::new(text).literal_separator(true).build().map_err(|error| {
            Error::config(format!("`path` is not a pattern: `{text}`: {}", error.kind()))
                .with_hint("`*` and `?` stand for parts of a name, `**` for folders; write `[*]` for a star")
        })?;
        Ok(Self {
            text: text.to_owned(),
            base: base.to_owned(),
            matcher: Some(glob.compile_matcher()),
        })
    }

    /// Whether it names one file only.
    pub(super) fn is_plain(&self) -> bool {
        self.matcher.is_none()
    }

    /// Whether a path is one of those meant.
    pub(super) fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            None => path == self.text,
            Some(matcher) => matcher.is_match(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_star_stays_within_a_folder() {
        let pattern = Pattern::new("data/2024-*/orders*.csv").unwrap();
        assert_eq!(pattern.base, "data/");
        assert!(pattern.matches("data/2024-01/orders1.csv"));
        assert!(!pattern.matches("data/2024-01/x/orders1.csv"));
        assert!(
            Pattern::new("data/**/*.csv")
                .unwrap()
                .matches("data/a/b/c.csv")
        );
        assert!(Pattern::new("data/**/*.csv").unwrap().matches("data/c.csv"));
        assert!(Pattern::new("{a,b}.csv").unwrap().matches("b.csv"));
        assert!(Pattern::new("x[").is_err());
    }

    #[test]
    fn a_path_without_stars_is_itself() {
        let pattern = Pattern::new("data/orders.csv").unwrap();
        assert!(pattern.is_plain() && pattern.matches("data/orders.csv"));
    }
}
