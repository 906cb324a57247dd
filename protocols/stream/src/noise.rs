//! What a connector should not have written to its output, at a bounded rate.

use std::collections::BTreeMap;

/// So many lines of each kind are logged; the rest is counted.
const SHOWN: u64 = 20;
/// Characters of a line that are logged.
const LENGTH: usize = 1000;
/// Kinds of unknown messages that are told apart.
const KINDS: usize = 100;

/// Counts lines that are no message, and messages of unknown types.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    printed: u64,
    unknown: BTreeMap<String, u64>,
}

impl Noise {
    /// What to log of a line that is no message.
    pub(crate) fn printed(&mut self, line: &[u8]) -> Option<String> {
        self.printed += 1;
        (self.printed <= SHOWN).then(|| {
            shortened(&String::from_utf8_lossy(
                &line[..line.len().min(4 * LENGTH)],
            ))
        })
    }

    /// What to log of a message of an unknown type.
    pub(crate) fn unknown(&mut self, name: &str, line: u64) -> Option<String> {
        let mut name = shortened(name);
        if self.unknown.len() >= KINDS && !self.unknown.contains_key(&name) {
            name = "…".to_owned();
        }
        let count = self.unknown.entry(name.clone()).or_default();
        *count += 1;
        (*count <= SHOWN).then(|| format!("line {line}: message of unknown type `{name}` ignored"))
    }

    /// What to log at the end about what was not logged.
    pub(crate) fn summary(&self) -> Vec<String> {
        let beyond = |count: u64| count.checked_sub(SHOWN).filter(|more| *more > 0);
        let printed =
            beyond(self.printed).map(|more| format!("{more} more lines that are no message"));
        let unknown = self.unknown.iter().filter_map(|(name, count)| {
            beyond(*count)
                .map(|more| format!("{more} more messages of unknown type `{name}` ignored"))
        });
        printed.into_iter().chain(unknown).collect()
    }
}

fn shortened(text: &str) -> String {
    let text = text.trim_end();
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_first_ones_are_only_counted() {
        let mut noise = Noise::default();
        let shown = (0..25)
            .filter_map(|_| noise.printed(b"hello\n"))
            .collect::<Vec<_>>();
        assert_eq!(shown, vec!["hello"; 20]);
        assert_eq!(noise.summary(), ["5 more lines that are no message"]);
    }

    #[test]
    fn a_long_line_is_shortened() {
        let text = Noise::default().printed(&vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(text.chars().count(), LENGTH + 1);
    }
}
