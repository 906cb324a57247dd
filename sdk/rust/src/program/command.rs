//! The command line of a program: Airbyte's commands, or the options of a Singer tap.

use std::path::PathBuf;

pub(super) const USAGE: &str = "\
usage: NAME spec | check | discover | read | partitions
           [--config FILE] [--catalog FILE] [--state FILE] [--partition FILE]
           [--format json|arrow] [--max-rows N] [--count N] [--target-bytes N]
       NAME [--about] [--discover] [--config FILE] [--catalog FILE] [--state FILE]

The first form speaks Airbyte's protocol, the second Singer's; `DATIVO_FORMAT=arrow` is the same as `--format arrow`.
";

const MAX_ROWS: usize = 65_536;
const TARGET_BYTES: usize = 32 << 20;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Spec,
    Check,
    Discover,
    Read,
    Partitions,
    Help,
    Version,
}

/// What is to be done, with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub action: Action,
    /// Whether it was asked for in a tap's way, and is to be answered in Singer's messages.
    pub singer: bool,
    /// Files; later ones replace settings of earlier ones.
    pub configs: Vec<PathBuf>,
    pub catalog: Option<PathBuf>,
    pub state: Option<PathBuf>,
    pub partition: Option<PathBuf>,
    /// Whether batches go out as Arrow data.
    pub arrow: bool,
    pub max_rows: usize,
    pub count: usize,
    pub target_bytes: usize,
}

/// Reads the arguments behind the program's name. `format` is what the environment says.
///
/// # Errors
/// What is wrong with them.
pub(super) fn parse(arguments: Vec<String>, format: Option<&str>) -> Result<Command, String> {
    let mut command = Command {
        action: Action::Read,
        singer: true,
        configs: Vec::new(),
        catalog: None,
        state: None,
        partition: None,
        arrow: false,
        max_rows: MAX_ROWS,
        count: 1,
        target_bytes: TARGET_BYTES,
    };
    if arguments.is_empty() {
        return Err("no command and no option is given".to_owned());
    }
    let mut said_format = None;
    let (mut named, mut flagged, mut asked) = (None, None, None);
    let mut rest = arguments.into_iter();
    while let Some(word) = rest.next() {
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let name = long(name).to_owned();
        let is_flag = joined.is_none();
        match name.as_str() {
            "--about" if is_flag => flagged = Some(Action::Spec),
            "--discover" if is_flag => flagged = flagged.or(Some(Action::Discover)),
            "--help" if is_flag => asked = Some(Action::Help),
            "--version" if is_flag => asked = asked.or(Some(Action::Version)),
            "--debug" | "--test" if is_flag => {}
            "--config" | "--catalog" | "--properties" | "--state" | "--partition" | "--format"
            | "--max-rows" | "--count" | "--target-bytes" => {
                let value = joined
                    .or_else(|| rest.next())
                    .ok_or_else(|| format!("`{name}` needs a value"))?;
                match name.as_str() {
                    "--config" => command.configs.push(value.into()),
                    "--catalog" | "--properties" => command.catalog = Some(value.into()),
                    "--state" => command.state = Some(value.into()),
                    "--partition" => command.partition = Some(value.into()),
                    "--format" => said_format = Some(value),
                    "--max-rows" => command.max_rows = number(&name, &value)?,
                    "--count" => command.count = number(&name, &value)?,
                    _ => command.target_bytes = number(&name, &value)?,
                }
            }
            _ if name.starts_with('-') => return Err(format!("there is no option `{word}`")),
            _ if named.is_some() => return Err(format!("there is no command `{word}`")),
            _ => named = Some(action(&name)?),
        }
    }
    command.singer = named.is_none() && asked.is_none();
    command.action = asked.or(named).or(flagged).unwrap_or(Action::Read);
    if !command.singer {
        command.arrow = match said_format.as_deref().or(format) {
            None | Some("json") => false,
            Some("arrow") => true,
            // A host's wish that is not known here is not answered, but not an error either.
            Some(_) if said_format.is_none() => false,
            Some(other) => return Err(format!("`--format` is `json` or `arrow`, not `{other}`")),
        };
    }
    Ok(command)
}

fn long(name: &str) -> &str {
    match name {
        "-c" => "--config",
        "-s" => "--state",
        "-p" => "--properties",
        "-d" => "--discover",
        "-h" => "--help",
        other => other,
    }
}

fn action(name: &str) -> Result<Action, String> {
    match name {
        "spec" => Ok(Action::Spec),
        "check" => Ok(Action::Check),
        "discover" => Ok(Action::Discover),
        "read" => Ok(Action::Read),
        "partitions" => Ok(Action::Partitions),
        _ => Err(format!("there is no command `{name}`")),
    }
}

fn number(name: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(format!("`{name}` is a number from 1 on, not `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned).collect(), None)
    }

    #[test]
    fn commands_are_airbytes_and_options_alone_are_a_taps() {
        let read = parsed("read --config a.json --config=b.json --catalog c --max-rows 5").unwrap();
        assert_eq!(
            (read.action, read.singer, read.max_rows),
            (Action::Read, false, 5)
        );
        assert_eq!(
            read.configs,
            [PathBuf::from("a.json"), PathBuf::from("b.json")]
        );
        let tap = parsed("-c a.json --properties p --format=json").unwrap();
        assert_eq!((tap.action, tap.singer), (Action::Read, true));
        assert_eq!(tap.catalog, Some(PathBuf::from("p")));
        assert_eq!(
            parsed("--config a --discover").unwrap().action,
            Action::Discover
        );
        assert_eq!(
            parsed("--about --format=json").unwrap().action,
            Action::Spec
        );
    }

    #[test]
    fn the_environment_asks_for_arrow_where_the_arguments_do_not_say() {
        let read = |line: &str, format| {
            let words = line.split_whitespace().map(str::to_owned).collect();
            parse(words, format).unwrap().arrow
        };
        assert!(read("read --config a", Some("arrow")));
        assert!(!read("read --config a --format json", Some("arrow")));
        assert!(!read("read --config a", Some("later")));
        assert!(!read("--config a", Some("arrow")));
        assert!(read("read --config a --format arrow", None));
    }

    #[test]
    fn a_wrong_line_says_what_is_wrong() {
        for (line, expected) in [
            ("", "no command and no option is given"),
            ("fly", "there is no command `fly`"),
            ("read write", "there is no command `write`"),
            ("read --flat", "there is no option `--flat`"),
            ("read --config", "`--config` needs a value"),
            ("read --count 0", "`--count` is a number from 1 on, not `0`"),
            (
                "read --format xml",
                "`--format` is `json` or `arrow`, not `xml`",
            ),
        ] {
            assert_eq!(parsed(line).unwrap_err(), expected);
        }
    }
}
