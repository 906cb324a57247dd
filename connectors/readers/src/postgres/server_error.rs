//! What the server says went wrong, and who can mend it.

use std::collections::HashMap;

use dativo_sdk::{Error, Kind};

/// An ErrorResponse or NoticeResponse, by the letters of its fields.
pub(super) struct ServerError {
    fields: HashMap<u8, String>,
}

impl ServerError {
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut fields = HashMap::new();
        let mut rest = body;
        while let Some((&letter, behind)) = rest.split_first() {
            let Some(end) = behind.iter().position(|byte| *byte == 0) else {
                break;
            };
            fields.insert(letter, String::from_utf8_lossy(&behind[..end]).into_owned());
            rest = &behind[end + 1..];
        }
        Self { fields }
    }

    fn field(&self, letter: u8) -> &str {
        self.fields.get(&letter).map_or("", String::as_str)
    }

    /// Its SQLSTATE.
    pub(super) fn code(&self) -> &str {
        self.field(b'C')
    }

    /// As an error of the reader, while it does `what`. Details are left out: they may contain values of rows.
    pub(super) fn into_error(self, what: &str) -> Error {
        let code = self.code().to_owned();
        let (kind, hint) = verdict(&code, self.field(b'M'));
        let message = format!("cannot {what}: {} (SQLSTATE {code})", self.field(b'M'));
        let mut error = match kind {
            Kind::Config => Error::config(message),
            Kind::Temporary => Error::temporary(message),
            _ => Error::connector(message),
        };
        let said = self.field(b'H');
        let hint = if hint.is_empty() { said } else { hint };
        if !hint.is_empty() {
            error = error.with_hint(hint);
        }
        error.with_fact("sqlstate", code)
    }
}

/// By SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
fn verdict(code: &str, message: &str) -> (Kind, &'static str) {
    match code {
        "28P01" | "28000" => (
            Kind::Config,
            "check `user` and `password`, and what the server's `pg_hba.conf` allows",
        ),
        "3D000" => (Kind::Config, "check `database`"),
        "42501" => (
            Kind::Config,
            "grant SELECT on the table, and USAGE on its schema, to the user who reads",
        ),
        "42P01" | "42703" | "3F000" => (
            Kind::Connector,
            "it may have been dropped or renamed since the streams were asked for: ask again",
        ),
        "0A000" if message.contains("cached plan") => (Kind::Temporary, ""),
        // The message tells the two apart, in the server's language: a timeout of ours is the usual one.
        "57014" => (
            Kind::Connector,
            "the server ended the statement: raise `statement_timeout`, or read less at a time",
        ),
        "40001" | "40P01" => (
            Kind::Temporary,
            "on a standby: raise `max_standby_streaming_delay`, or turn `hot_standby_feedback` on",
        ),
        "54000" | "54001" => (
            Kind::Connector,
            "leave the wide column out with `fields`, or read it with a query of its own",
        ),
        "53300" => (
            Kind::Temporary,
            "the server has no connection left: raise `max_connections`, or lower `parallel`",
        ),
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "72000" | "55006" => {
            (Kind::Temporary, "")
        }
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("58") => {
            (Kind::Temporary, "")
        }
        _ if code.starts_with("42") => (Kind::Config, ""),
        _ => (Kind::Connector, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str) -> Error {
        ServerError::parse(
            format!("SERROR\0C{code}\0Mit broke\0Dhunter2\0Htry that\0\0").as_bytes(),
        )
        .into_error("read `t`")
    }

    #[test]
    fn codes_say_who_can_mend_it() {
        for (code, kind) in [
            ("28P01", Kind::Config),
            ("42501", Kind::Config),
            ("42601", Kind::Config),
            ("42P01", Kind::Connector),
            ("57014", Kind::Connector),
            ("XX001", Kind::Connector),
            ("40001", Kind::Temporary),
            ("53300", Kind::Temporary),
            ("57P01", Kind::Temporary),
            ("08006", Kind::Temporary),
        ] {
            assert_eq!(error(code).kind, kind, "{code}");
        }
    }

    #[test]
    fn details_are_not_shown() {
        let shown = error("XX000").to_string();
        assert_eq!(
            shown,
            "cannot read `t`: it broke (SQLSTATE XX000)\nhint: try that"
        );
    }

    #[test]
    fn a_cut_message_is_read_as_far_as_it_goes() {
        assert_eq!(ServerError::parse(b"C53300\0Mtoo ma").code(), "53300");
        assert_eq!(ServerError::parse(b"").code(), "");
    }
}
