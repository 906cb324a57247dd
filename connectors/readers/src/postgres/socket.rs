//! A byte stream to the server: TCP, TLS over it, or a Unix socket.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dativo_sdk::Error;
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::{SockRef, TcpKeepalive};

use super::settings::{Host, KeepAlives, Settings, TlsMode};
use super::tls;

/// What the kernel keeps for us while a batch is handed over.
const RECEIVE_BUFFER: usize = 1 << 20;

pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    /// Connects to a host, with TLS as `sslmode` says; until `deadline`, which also bounds each wait for an answer until
    /// [`Socket::be_patient`].
    pub(super) fn open(settings: &Settings, host: &Host, deadline: Instant) -> Result<Self, Error> {
        if host.is_socket() {
            let path = host.to_string();
            let socket = UnixStream::connect(&path).map_err(|error| unreachable(host, &error))?;
            socket.set_read_timeout(Some(left(deadline))).ok();
            return Ok(Self::Unix(socket));
        }
        let socket = connect(host, deadline).map_err(|error| unreachable(host, &error))?;
        prepare(&socket, settings.keepalives).map_err(|error| unreachable(host, &error))?;
        socket.set_read_timeout(Some(left(deadline))).ok();
        match settings.tls {
            TlsMode::Disable => Ok(Self::Tcp(socket)),
            _ => secured(socket, settings, host),
        }
    }

    /// Whether a read brings all that has come, if there is room for it; of TLS it brings a record, 16 KiB at most.
    #[inline]
    pub(super) fn gives_all(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    /// From now on waits for as long as a query takes.
    pub(super) fn be_patient(&self) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.set_read_timeout(None),
            Self::Tcp(socket) => socket.set_read_timeout(None),
            Self::Tls(stream) => stream.sock.set_read_timeout(None),
        }
    }
}

fn left(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

fn connect(host: &Host, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host.name.as_str(), host.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn prepare(socket: &TcpStream, keepalives: Option<KeepAlives>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    if let Some(KeepAlives {
        idle,
        interval,
        count,
    }) = keepalives
    {
        let mut wanted = TcpKeepalive::new();
        if let Some(idle) = idle {
            wanted = wanted.with_time(idle);
        }
        if let Some(interval) = interval {
            wanted = wanted.with_interval(interval);
        }
        if let Some(count) = count {
            wanted = wanted.with_retries(count);
        }
        socket.set_tcp_keepalive(&wanted)?;
    }
    Ok(())
}

/// Asks for TLS and shakes hands; a plain connection where the server has none and `sslmode` leaves it at that.
fn secured(mut socket: TcpStream, settings: &Settings, host: &Host) -> Result<Socket, Error> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    let mut answer = [0];
    socket
        .write_all(&request)
        .and_then(|()| socket.read_exact(&mut answer))
        .map_err(|error| unreachable(host, &error))?;
    match answer[0] {
        b'S' => {}
        b'N' if settings.tls == TlsMode::Prefer => return Ok(Socket::Tcp(socket)),
        b'N' => {
            return Err(
                Error::config(format!("`{host}` offers no TLS, and `sslmode` demands it"))
                    .with_hint("turn it on there, or say `sslmode: prefer`"),
            );
        }
        _ => {
            return Err(Error::connector(format!(
                "`{host}` does not answer as PostgreSQL does"
            )));
        }
    }
    let name = ServerName::try_from(host.name.clone()).map_err(|_| {
        Error::config(format!(
            "`{}` is no name that a certificate can have",
            host.name
        ))
    })?;
    let failed = |error: &dyn std::fmt::Display| {
        Error::config(format!("TLS with `{host}`: {error}")).with_hint(
            "`sslmode` says how far a server is trusted, `sslrootcert` names who vouches for it",
        )
    };
    let session =
        ClientConnection::new(tls::client(settings)?, name).map_err(|error| failed(&error))?;
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream
            .conn
            .complete_io(&mut stream.sock)
            .map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => failed(&error),
                _ => unreachable(host, &error),
            })?;
    }
    Ok(Socket::Tls(Box::new(stream)))
}

fn unreachable(host: &Host, error: &io::Error) -> Error {
    let why = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    };
    Error::temporary(format!("cannot reach the server at `{host}`: {why}"))
        .with_hint("check `host` and `port`, and whether the server is up and lets this machine in")
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(buffer),
            Self::Unix(socket) => socket.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.flush(),
            Self::Unix(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
