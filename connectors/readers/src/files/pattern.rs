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
    /// What all matches start with.
    pub prefix: String,
    /// Whether all matches are names in the folder that `prefix` ends in.
    pub is_flat: bool,
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
                prefix: text.to_owned(),
                is_flat: true,
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
        // Behind a backslash, the next character stands for itself.
        let prefix = &text[..text.find('\\').unwrap_or(special).min(special)];
        let rest = &text[prefix.len()..];
        Ok(Self {
            text: text.to_owned(),
            base: base.to_owned(),
            prefix: prefix.to_owned(),
            is_flat: !rest.contains('/') && !rest.contains("**"),
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
    fn what_all_matches_start_with() {
        for (text, prefix, is_flat) in [
            ("data/2024-*.csv", "data/2024-", true),
            ("data/2024-*/a.csv", "data/2024-", false),
            ("data/**", "data/", false),
            ("{a,b/c}.csv", "", false),
            (r"data/\[x]*", "data/", true),
            ("data/a.csv", "data/a.csv", true),
        ] {
            let pattern = Pattern::new(text).unwrap();
            assert_eq!(
                (pattern.prefix.as_str(), pattern.is_flat),
                (prefix, is_flat)
            );
        }
    }

    #[test]
    fn a_path_without_stars_is_itself() {
        let pattern = Pattern::new("data/orders.csv").unwrap();
        assert!(pattern.is_plain() && pattern.matches("data/orders.csv"));
    }
}
