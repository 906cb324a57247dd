//! A connection to the server: login, queries, and the bytes of a COPY.
//!
//! The frontend/backend protocol, version 3.0, over a blocking socket: https://www.postgresql.org/docs/current/protocol.html.
//! COPY sends a message for each row. They are read into one buffer and decoded where they lie: by way of `tokio-postgres` the
//! same rows took about twice the user time, and were not decoded then (`docs/postgres-source.md`).

use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dativo_sdk::Error;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::escape::escape_literal;
use postgres_protocol::message::frontend;

use super::server_error::ServerError;
use super::settings::{Host, Settings};
use super::socket::Socket;

/// Read from the socket at a time; a row that is longer makes the buffer grow for as long as it is needed.
const BUFFER: usize = 256 * 1024;
/// A read of a COPY that brought less is followed by a pause. The server sends 8 KiB at a time, and to wake us for each of them
/// costs it more than to copy them (`docs/postgres-source.md`).
const ENOUGH: usize = 64 * 1024;
/// Shorter than it takes to fill what the kernel keeps for us.
const PAUSE: Duration = Duration::from_micros(200);
/// Longest message that is no row. Those of errors and catalogs are short.
const LONGEST_ANSWER: usize = 64 << 20;

/// A column of a query's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub name: String,
    pub type_oid: u32,
    pub type_modifier: i32,
}

/// A row of a query's result, as text.
pub(super) type TextRow = Vec<Option<String>>;

pub(super) struct Connection {
    socket: Socket,
    buffer: Buffer,
    host: Host,
    /// Names the session to the server that is to end its query.
    key: Option<(i32, i32)>,
    max_row_bytes: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Copying,
    /// No more can be asked of it.
    Broken,
}

impl Connection {
    /// Logs in at the first host that can be reached.
    pub(super) fn open(settings: &Settings) -> Result<Self, Error> {
        let mut last = None;
        for host in &settings.hosts {
            let deadline = Instant::now() + settings.connect_timeout;
            let opened = Socket::open(settings, host, deadline)
                .and_then(|socket| Self::login(socket, settings, host));
            match opened {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(last.unwrap_or(error)),
            }
        }
        Err(last.unwrap_or_else(|| Error::config("`host` names none")))
    }

    fn login(socket: Socket, settings: &Settings, host: &Host) -> Result<Self, Error> {
        let mut connection = Self {
            socket,
            buffer: Buffer::default(),
            host: host.clone(),
            key: None,
            max_row_bytes: settings.max_row_bytes,
            state: State::Ready,
        };
        let mut parameters = vec![
            ("user", settings.user.as_str()),
            ("database", settings.database.as_str()),
            ("client_encoding", "UTF8"),
            ("application_name", settings.application_name.as_str()),
        ];
        parameters.extend(
            settings
                .options
                .iter()
                .map(|options| ("options", options.as_str())),
        );
        connection.send(|out| frontend::startup_message(parameters.iter().copied(), out))?;
        connection.authenticate(settings)?;
        connection
            .socket
            .be_patient()
            .map_err(|error| connection.lost(&error))?;
        Ok(connection)
    }

    fn authenticate(&mut self, settings: &Settings) -> Result<(), Error> {
        let what = format!(
            "log in to `{}` at `{}` as `{}`",
            settings.database, self.host, settings.user
        );
        let host = self.host.clone();
        let mut scram: Option<ScramSha256> = None;
        loop {
            let (kind, body) = self.message(LONGEST_ANSWER)?;
            match kind {
                b'R' => {}
                b'K' => {
                    if let Some((process, secret)) = body.split_first_chunk::<4>() {
                        let secret = secret.first_chunk::<4>().copied().unwrap_or_default();
                        self.key = Some((i32::from_be_bytes(*process), i32::from_be_bytes(secret)));
                    }
                    continue;
                }
                b'Z' => return Ok(()),
                b'E' => return Err(ServerError::parse(body).into_error(&what)),
                _ => continue,
            }
            let (method, data) = body
                .split_first_chunk::<4>()
                .ok_or_else(|| not_postgres(&host))?;
            let data = data.to_vec();
            let secret = || {
                let password = settings
                    .password
                    .as_ref()
                    .map(|password| password.0.clone());
                password.ok_or_else(|| {
                    Error::config(format!("cannot {what}: the server asks for a password"))
                        .with_hint("say `password`")
                })
            };
            match i32::from_be_bytes(*method) {
                0 => {}
                3 => {
                    let password = secret()?;
                    self.send(|out| frontend::password_message(password.as_bytes(), out))?;
                }
                5 => {
                    let salt = *data.first_chunk::<4>().ok_or_else(|| not_postgres(&host))?;
                    let hash = md5_hash(settings.user.as_bytes(), secret()?.as_bytes(), salt);
                    self.send(|out| frontend::password_message(hash.as_bytes(), out))?;
                }
                10 => {
                    if !data
                        .split(|byte| *byte == 0)
                        .any(|name| name == SCRAM_SHA_256.as_bytes())
                    {
                        return Err(unsupported_login(&what));
                    }
                    let started =
                        ScramSha256::new(secret()?.as_bytes(), ChannelBinding::unsupported());
                    self.send(|out| {
                        frontend::sasl_initial_response(SCRAM_SHA_256, started.message(), out)
                    })?;
                    scram = Some(started);
                }
                11 => {
                    let exchange = scram.as_mut().ok_or_else(|| not_postgres(&host))?;
                    exchange.update(&data).map_err(|_| refused_login(&what))?;
                    let answer = exchange.message().to_vec();
                    self.send(|out| frontend::sasl_response(&answer, out))?;
                }
                12 => {
                    let exchange = scram.as_mut().ok_or_else(|| not_postgres(&host))?;
                    exchange.finish(&data).map_err(|_| refused_login(&what))?;
                }
                _ => return Err(unsupported_login(&what)),
            }
        }
    }

    /// Begins to see the database as it is now, or as a snapshot says that another session sees it, until the connection ends.
    ///
    /// Within it values have text forms that do not depend on whom one asks. They are set by a query and for the transaction:
    /// connection poolers refuse most settings at the start, and give the session to somebody else behind the end.
    pub(super) fn begin(
        &mut self,
        snapshot: Option<&str>,
        statement_timeout: Duration,
    ) -> Result<(), Error> {
        let mut sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned();
        if let Some(snapshot) = snapshot {
            sql += &format!("; SET TRANSACTION SNAPSHOT {}", escape_literal(snapshot));
        }
        self.rows(&sql, "see the database as one snapshot")?;
        let mut wanted = vec![
            ("DateStyle", "ISO, YMD".to_owned()),
            ("IntervalStyle", "iso_8601".to_owned()),
            ("TimeZone", "UTC".to_owned()),
            ("extra_float_digits", "3".to_owned()),
            ("bytea_output", "hex".to_owned()),
            // A snapshot that others use must stay.
            ("idle_in_transaction_session_timeout", "0".to_owned()),
            // The server is to notice that we are gone while it sorts.
            ("client_connection_check_interval", "10s".to_owned()),
        ];
        if !statement_timeout.is_zero() {
            wanted.push((
                "statement_timeout",
                statement_timeout.as_millis().to_string(),
            ));
        }
        let mut values: Vec<String> = wanted
            .iter()
            .map(|(name, value)| format!("('{name}', '{value}')"))
            .collect();
        // Such a database does not know what its bytes are, and would end the run at the first that is not UTF-8.
        values.push(
            "('client_encoding', CASE pg_catalog.current_setting('server_encoding') \
             WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)"
                .to_owned(),
        );
        let sql = format!(
            "SELECT pg_catalog.set_config(s.name, v.value, true) FROM (VALUES {}) AS v(name, value) \
             JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = pg_catalog.lower(v.name)",
            values.join(", ")
        );
        self.rows(&sql, "set up the session").map(drop)
    }

    /// Runs statements and gives the rows of the last one that has some.
    pub(super) fn rows(&mut self, sql: &str, what: &str) -> Result<Vec<TextRow>, Error> {
        self.query(sql, what).map(|(_, rows)| rows)
    }

    /// The columns of a query's result, and its rows.
    pub(super) fn query(
        &mut self,
        sql: &str,
        what: &str,
    ) -> Result<(Vec<Described>, Vec<TextRow>), Error> {
        self.send(|out| frontend::query(sql, out))?;
        let (mut columns, mut rows, mut failure) = (Vec::new(), Vec::new(), None);
        loop {
            let host = self.host.clone();
            let (kind, body) = self.message(LONGEST_ANSWER)?;
            match kind {
                b'T' => {
                    rows.clear();
                    columns = row_description(body).ok_or_else(|| not_postgres(&host))?;
                }
                b'D' => rows.push(data_row(body).ok_or_else(|| not_postgres(&host))?),
                b'E' => failure = failure.or(Some(ServerError::parse(body).into_error(what))),
                b'Z' => break,
                _ => {}
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok((columns, rows)),
        }
    }

    /// Begins a COPY to here; its bytes come with [`Connection::copied`].
    pub(super) fn copy(&mut self, sql: &str, what: &str) -> Result<(), Error> {
        self.send(|out| frontend::query(sql, out))?;
        loop {
            let (kind, body) = self.message(LONGEST_ANSWER)?;
            match kind {
                b'H' => {
                    self.state = State::Copying;
                    return Ok(());
                }
                b'E' => {
                    let error = ServerError::parse(body).into_error(what);
                    self.finish()?;
                    return Err(error);
                }
                _ => {}
            }
        }
    }

    /// The next bytes of the COPY, or `None` at its end.
    #[inline]
    pub(super) fn copied(&mut self, what: &str) -> Result<Option<&[u8]>, Error> {
        loop {
            let (kind, range) = self.next_message(self.max_row_bytes)?;
            match kind {
                b'd' => return Ok(Some(&self.buffer.bytes[range])),
                b'Z' => {
                    self.state = State::Ready;
                    return Ok(None);
                }
                b'E' => {
                    let error = ServerError::parse(&self.buffer.bytes[range]).into_error(what);
                    self.state = State::Broken;
                    return Err(error);
                }
                _ => {}
            }
        }
    }

    /// Ends a COPY that is not read to its end: asks the server to, and drops the connection.
    pub(super) fn abandon(&mut self, settings: &Settings) {
        if std::mem::replace(&mut self.state, State::Broken) != State::Copying {
            return;
        }
        let Some((process, secret)) = self.key else {
            return;
        };
        let deadline = Instant::now() + Duration::from_secs(2).min(settings.connect_timeout);
        if let Ok(mut socket) = Socket::open(settings, &self.host, deadline) {
            let mut out = BytesMut::new();
            frontend::cancel_request(process, secret, &mut out);
            // It is a courtesy: a server that cannot be told notices by itself that nobody reads.
            let _ = socket.write_all(&out);
            let _ = socket.flush();
            let _ = socket.read(&mut [0]);
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        while self.message(LONGEST_ANSWER)?.0 != b'Z' {}
        Ok(())
    }

    fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), Error> {
        if self.state != State::Ready {
            return Err(Error::connector(
                "the connection is in use, or was given up",
            ));
        }
        let mut out = BytesMut::new();
        write(&mut out).map_err(|error| Error::config(format!("text for the server: {error}")))?;
        let sent = self
            .socket
            .write_all(&out)
            .and_then(|()| self.socket.flush());
        sent.map_err(|error| self.lost(&error))
    }

    fn message(&mut self, longest: usize) -> Result<(u8, &[u8]), Error> {
        let (kind, range) = self.next_message(longest)?;
        Ok((kind, &self.buffer.bytes[range]))
    }

    /// The kind of the next message, and where its body lies in the buffer.
    #[inline(always)]
    fn next_message(&mut self, longest: usize) -> Result<(u8, std::ops::Range<usize>), Error> {
        loop {
            let pending = &self.buffer.bytes[self.buffer.start..self.buffer.end];
            let mut needed = 5;
            if let [kind, a, b, c, d, body @ ..] = pending {
                let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                let Some(len) = len.checked_sub(4) else {
                    self.state = State::Broken;
                    return Err(not_postgres(&self.host));
                };
                if body.len() >= len {
                    let begin = self.buffer.start + 5;
                    self.buffer.start = begin + len;
                    return Ok((*kind, begin..begin + len));
                }
                if len > longest {
                    self.state = State::Broken;
                    return Err(too_long(len, longest));
                }
                needed += len;
            }
            if self.state == State::Copying
                && self.buffer.brought < ENOUGH
                && self.socket.gives_all()
            {
                thread::sleep(PAUSE);
            }
            self.buffer
                .fill(&mut self.socket, needed)
                .map_err(|error| self.lost(&error))?;
        }
    }

    fn lost(&mut self, error: &io::Error) -> Error {
        self.state = State::Broken;
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the server closed it".to_owned(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
            _ => error.to_string(),
        };
        Error::temporary(format!("the connection to `{}` was lost: {why}", self.host)).with_hint(
            "the server's log says more; a run that is repeated goes on at the last state",
        )
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.state == State::Ready {
            let mut out = BytesMut::new();
            frontend::terminate(&mut out);
            let _ = self
                .socket
                .write_all(&out)
                .and_then(|()| self.socket.flush());
        }
    }
}

/// Bytes read ahead.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// By the last read.
    brought: usize,
}

impl Buffer {
    /// Reads once, so that there is more; makes room for `needed` bytes in all.
    #[cold]
    fn fill(&mut self, socket: &mut Socket, needed: usize) -> io::Result<()> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let size = needed.max(BUFFER);
        if self.bytes.len() < size {
            self.bytes.resize(size, 0);
        } else if self.bytes.len() > size && self.end < BUFFER {
            self.bytes.truncate(size);
            self.bytes.shrink_to_fit();
        }
        loop {
            match socket.read(&mut self.bytes[self.end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    self.brought = len;
                    self.end += len;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn not_postgres(host: &Host) -> Error {
    Error::connector(format!("`{host}` does not answer as PostgreSQL does"))
}

fn refused_login(what: &str) -> Error {
    Error::config(format!(
        "cannot {what}: the server does not know the password"
    ))
    .with_hint("check `user` and `password`")
}

fn unsupported_login(what: &str) -> Error {
    Error::config(format!(
        "cannot {what}: the server asks for a way to log in that is not supported"
    ))
    .with_hint("supported are passwords (scram-sha-256, md5, plain), certificates, and trust")
}

fn too_long(len: usize, longest: usize) -> Error {
    let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20);
    Error::connector(format!(
        "a row of {} MiB is longer than {} MiB",
        mebibytes(len),
        mebibytes(longest)
    ))
    .with_hint("raise `max_row_bytes`, or leave the wide column out with `fields`")
}

fn row_description(body: &[u8]) -> Option<Vec<Described>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(&rest[..end]).ok()?.to_owned();
        let (facts, behind) = rest[end + 1..].split_first_chunk::<18>()?;
        let word = |place: usize| {
            [
                facts[place],
                facts[place + 1],
                facts[place + 2],
                facts[place + 3],
            ]
        };
        columns.push(Described {
            name,
            type_oid: u32::from_be_bytes(word(6)),
            type_modifier: i32::from_be_bytes(word(12)),
        });
        rest = behind;
    }
    Some(columns)
}

fn data_row(body: &[u8]) -> Option<TextRow> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut row = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (len, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        row.push(match i32::from_be_bytes(*len) {
            -1 => None,
            len => {
                let (text, behind) = rest.split_at_checked(usize::try_from(len).ok()?)?;
                rest = behind;
                Some(String::from_utf8_lossy(text).into_owned())
            }
        });
    }
    Some(row)
}
