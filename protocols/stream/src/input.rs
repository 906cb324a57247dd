//! Bytes from a descriptor or a reader, cut into chunks of whole lines; and, where a line says so, so many bytes as they are.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::budget::{Budget, Permit};
use crate::chunk::{Chunk, Pool};

/// What has come is handed over after so long, however little it is.
const LINGER: Duration = Duration::from_millis(50);
/// A source that writes line by line would wake the reader for each: after a read smaller than this, it rests for `NAP`.
const SMALL_READ: usize = 4096;
const NAP: Duration = Duration::from_millis(2);
/// Behind a large frame there is likely another one. So little is read then before its header is looked at, so that nearly all of the
/// frame goes straight to its place.
const HEAD: usize = 64 << 10;
/// A frame is large from so many bytes on.
const LARGE: usize = 4 * HEAD;
/// Frames start at addresses that are multiples of this, as Arrow recommends for its buffers.
const ALIGNMENT: usize = 64;

/// Ends all waiting of one decoder, from any thread, once and for all.
#[derive(Debug)]
pub(crate) struct Stop {
    stopped: AtomicBool,
    wake: PipeReader,
    hang_up: Mutex<Option<PipeWriter>>,
}

impl Stop {
    pub(crate) fn new() -> io::Result<Self> {
        let (wake, hang_up) = io::pipe()?;
        Ok(Self {
            stopped: AtomicBool::new(false),
            wake,
            hang_up: Mutex::new(Some(hang_up)),
        })
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.hang_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

/// What the input has done so far, to be read from any thread.
#[derive(Debug)]
pub(crate) struct Gauge {
    origin: Instant,
    /// Nanoseconds since `origin`, plus one, since when there is nothing to read; 0 while there is, or while the budget holds it back.
    waiting_since: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) lines: AtomicU64,
}

impl Gauge {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            waiting_since: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            lines: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX - 1) + 1
    }

    fn waits(&self) {
        if self.waiting_since.load(Ordering::Relaxed) == 0 {
            self.waiting_since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn runs(&self) {
        self.waiting_since.store(0, Ordering::Relaxed);
    }

    pub(crate) fn idle(&self) -> Duration {
        match self.waiting_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_nanos(self.now().saturating_sub(since)),
        }
    }
}

/// What the input has next.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Whole lines. Only the last line of the input may lack its newline: `cut` says so.
    Lines { chunk: Chunk, cut: bool },
    /// The line that follows the last chunk has more bytes than the limit; its beginning.
    TooLong { beginning: Vec<u8> },
    /// The end of the input.
    End,
    /// Somebody closed the decoder.
    Stopped,
}

/// A frame whose bytes are not all there yet.
pub(crate) struct Unfinished {
    bytes: Vec<u8>,
    /// Where it will be in `bytes`.
    at: Range<usize>,
}

/// What became of a frame.
#[derive(Debug)]
pub(crate) enum Finished {
    /// A chunk, and where the frame is in it.
    Whole(Chunk, Range<usize>),
    /// The input ended behind so many of its bytes.
    Cut(usize),
    /// Somebody closed the decoder.
    Stopped,
}

/// Where bytes come from.
pub(crate) enum Source {
    /// A pipe, socket or file that may be silent for any time.
    Descriptor(OwnedFd),
    /// Something that always has bytes or is at its end: a file, perhaps decompressed.
    Reader(Box<dyn Read + Send>),
}

impl Source {
    fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Descriptor(fd) => Ok(rustix::io::read(&*fd, spare_capacity(buffer))?),
            Self::Reader(reader) => {
                let room = buffer.capacity() - buffer.len();
                reader.by_ref().take(room as u64).read_to_end(buffer)
            }
        }
    }
}

/// Cuts a source into chunks of whole lines.
pub(crate) struct Input {
    source: Source,
    stop: Arc<Stop>,
    gauge: Arc<Gauge>,
    pool: Arc<Pool>,
    budget: Arc<Budget>,
    max_line: usize,
    buffer: Vec<u8>,
    permit: Option<Permit>,
    /// So many bytes at the start of `buffer` are known to hold no newline.
    scanned: usize,
    /// A large frame has just been read.
    ahead: bool,
    ended: bool,
}

enum Waited {
    Ready,
    TimedOut,
    Stopped,
}

impl Input {
    pub(crate) fn new(
        source: Source,
        stop: Arc<Stop>,
        gauge: Arc<Gauge>,
        pool: Arc<Pool>,
        budget: Arc<Budget>,
        max_line: usize,
    ) -> Self {
        Self {
            source,
            stop,
            gauge,
            pool,
            budget,
            max_line,
            buffer: Vec::new(),
            permit: None,
            scanned: 0,
            ahead: false,
            ended: false,
        }
    }

    /// The next piece; blocks. `on_wait` is called when the budget holds the input back.
    pub(crate) fn next(&mut self, on_wait: &dyn Fn()) -> io::Result<Piece> {
        let mut since: Option<Instant> = None;
        let mut small = false;
        let ahead = std::mem::take(&mut self.ahead);
        if ahead && let Some(end) = memchr::memrchr(b'\n', &self.buffer) {
            return Ok(self.hand_over(end + 1));
        }
        loop {
            if self.stop.is_stopped() {
                return Ok(Piece::Stopped);
            }
            if self.scanned > self.max_line {
                self.buffer.truncate(self.max_line.min(4096));
                return Ok(Piece::TooLong {
                    beginning: std::mem::take(&mut self.buffer),
                });
            }
            if self.ended {
                return Ok(self.last(on_wait));
            }
            if !self.make_room(on_wait) {
                return Ok(Piece::Stopped);
            }
            match self.wait(since, small)? {
                Waited::Stopped => return Ok(Piece::Stopped),
                Waited::TimedOut => {
                    if let Some(end) = memchr::memrchr(b'\n', &self.buffer[self.scanned..]) {
                        return Ok(self.hand_over(self.scanned + end + 1));
                    }
                    self.scanned = self.buffer.len();
                    since = None;
                    continue;
                }
                Waited::Ready => {}
            }
            let read = match self.read(ahead) {
                Ok(read) => read,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.gauge.runs();
            self.gauge.bytes.fetch_add(read as u64, Ordering::Relaxed);
            self.ended = read == 0;
            small = read < SMALL_READ && !ahead;
            let since = *since.get_or_insert_with(Instant::now);
            let full = self.buffer.len() == self.buffer.capacity();
            if full || ahead || self.ended || since.elapsed() >= LINGER {
                match memchr::memrchr(b'\n', &self.buffer[self.scanned..]) {
                    Some(end) => return Ok(self.hand_over(self.scanned + end + 1)),
                    None => self.scanned = self.buffer.len(),
                }
            }
        }
    }

    /// Reads what there is; only a little while a frame is expected.
    fn read(&mut self, ahead: bool) -> io::Result<usize> {
        if !ahead {
            return self.source.read(&mut self.buffer);
        }
        let mut head = Vec::with_capacity(HEAD);
        let read = self.source.read(&mut head)?;
        self.buffer.extend_from_slice(&head);
        Ok(read)
    }

    /// A frame of `length` bytes, which begins with `start`, the rest of the last chunk. Whoever has that chunk drops it before he
    /// waits for the frame: the budget may be too small for both.
    pub(crate) fn begin_frame(&mut self, length: usize, start: &[u8]) -> Unfinished {
        let mut bytes: Vec<u8> = Vec::with_capacity(length + ALIGNMENT);
        let pad = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        bytes.resize(pad, 0);
        bytes.extend_from_slice(start);
        let more = self.buffer.len().min(length - start.len());
        bytes.extend_from_slice(&self.buffer[..more]);
        self.buffer.drain(..more);
        self.scanned = 0;
        let at = pad..pad + length;
        Unfinished { bytes, at }
    }

    /// Reads the rest of a frame; blocks. `on_wait` as in [`Self::next`].
    pub(crate) fn finish_frame(
        &mut self,
        frame: Unfinished,
        on_wait: &dyn Fn(),
    ) -> io::Result<Finished> {
        let Unfinished { mut bytes, at } = frame;
        self.gauge.runs();
        let Some(permit) = self.budget.acquire(2 * at.len(), on_wait) else {
            return Ok(Finished::Stopped);
        };
        while bytes.len() < at.end {
            if self.ended {
                return Ok(Finished::Cut(bytes.len() - at.start));
            }
            if matches!(self.wait(None, false)?, Waited::Stopped) || self.stop.is_stopped() {
                return Ok(Finished::Stopped);
            }
            let read = match self.source.read(&mut bytes) {
                Ok(read) => read,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.gauge.runs();
            self.gauge.bytes.fetch_add(read as u64, Ordering::Relaxed);
            self.ended = read == 0;
        }
        // A buffer may have more room than was asked for: what was read into it comes next.
        self.buffer.extend_from_slice(&bytes[at.end..]);
        bytes.truncate(at.end);
        self.ahead = at.len() >= LARGE;
        Ok(Finished::Whole(
            Chunk::frame(bytes, Arc::clone(&self.pool), permit),
            at,
        ))
    }

    /// A buffer with room to read into, and the budget for it. A line longer than a chunk makes the buffer grow twofold, so that
    /// its bytes are moved rarely, if at all. False when the decoder was closed.
    fn make_room(&mut self, on_wait: &dyn Fn()) -> bool {
        if self.permit.is_none() {
            self.gauge.runs();
            self.permit = self.budget.acquire(2 * self.pool.capacity(), on_wait);
            if self.permit.is_none() {
                return false;
            }
        }
        if self.buffer.capacity() == 0 {
            self.buffer = self.pool.take();
        } else if self.buffer.len() == self.buffer.capacity() {
            let more = self.buffer.capacity();
            self.gauge.runs();
            let granted = self
                .permit
                .as_mut()
                .is_some_and(|permit| permit.grow_by(2 * more, on_wait));
            if !granted {
                return false;
            }
            self.buffer.reserve_exact(more);
        }
        true
    }

    fn wait(&self, since: Option<Instant>, small: bool) -> io::Result<Waited> {
        let Source::Descriptor(fd) = &self.source else {
            return Ok(Waited::Ready);
        };
        self.gauge.waits();
        if small && matches!(self.poll(None, Some(NAP))?, Waited::Stopped) {
            return Ok(Waited::Stopped);
        }
        let patience = since.map(|since| LINGER.saturating_sub(since.elapsed()));
        self.poll(Some(fd), patience)
    }

    fn poll(&self, fd: Option<&OwnedFd>, patience: Option<Duration>) -> io::Result<Waited> {
        let timeout = patience.map(|patience| Timespec {
            tv_sec: patience.as_secs().cast_signed(),
            tv_nsec: patience.subsec_nanos().into(),
        });
        let wake = PollFd::from_borrowed_fd(self.stop.wake.as_fd(), PollFlags::IN);
        let polled = match fd {
            Some(fd) => {
                let mut fds = [wake, PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
                poll(&mut fds, timeout.as_ref())
                    .map(|_| (!fds[0].revents().is_empty(), !fds[1].revents().is_empty()))
            }
            None => {
                let mut fds = [wake];
                poll(&mut fds, timeout.as_ref()).map(|_| (!fds[0].revents().is_empty(), false))
            }
        };
        match polled {
            Ok((true, _)) => Ok(Waited::Stopped),
            Ok((_, true)) => Ok(Waited::Ready),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(Waited::TimedOut),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the first `end` bytes away and carries the rest over into the next buffer.
    fn hand_over(&mut self, end: usize) -> Piece {
        let mut next = self.pool.take();
        next.extend_from_slice(&self.buffer[end..]);
        let mut bytes = std::mem::replace(&mut self.buffer, next);
        bytes.truncate(end);
        self.scanned = self.buffer.len();
        self.lines(bytes, false)
    }

    fn last(&mut self, on_wait: &dyn Fn()) -> Piece {
        if self.buffer.is_empty() {
            return Piece::End;
        }
        if self.permit.is_none() {
            self.permit = self.budget.acquire(2 * self.buffer.len(), on_wait);
            if self.permit.is_none() {
                return Piece::Stopped;
            }
        }
        let bytes = std::mem::take(&mut self.buffer);
        self.lines(bytes, true)
    }

    fn lines(&mut self, bytes: Vec<u8>, cut: bool) -> Piece {
        let mut permit = self.permit.take().unwrap_or_else(|| self.budget.charge(0));
        permit.shrink_to(2 * bytes.len());
        Piece::Lines {
            chunk: Chunk::new(bytes, Arc::clone(&self.pool), permit),
            cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::thread;

    fn input(source: Source, chunk: usize, max_line: usize) -> (Input, Arc<Stop>, Arc<Budget>) {
        let stop = Arc::new(Stop::new().unwrap());
        let budget = Budget::new(1 << 20);
        let input = Input::new(
            source,
            Arc::clone(&stop),
            Arc::new(Gauge::new()),
            Pool::new(chunk),
            Arc::clone(&budget),
            max_line,
        );
        (input, stop, budget)
    }

    fn piped(chunk: usize, max_line: usize) -> (PipeWriter, Input, Arc<Stop>) {
        let (reader, writer) = io::pipe().unwrap();
        let (input, stop, _) = input(Source::Descriptor(reader.into()), chunk, max_line);
        (writer, input, stop)
    }

    fn collect(mut input: Input) -> (Vec<Vec<u8>>, Piece) {
        let mut chunks = Vec::new();
        loop {
            match input.next(&|| {}).unwrap() {
                Piece::Lines { chunk, .. } => chunks.push(chunk.to_vec()),
                end => return (chunks, end),
            }
        }
    }

    #[test]
    fn chunks_hold_whole_lines_and_together_all_bytes() {
        let text: Vec<u8> = (0..500)
            .flat_map(|i: usize| [vec![b'a' + (i % 26) as u8; i * 7 % 300], vec![b'\n']].concat())
            .collect();
        for chunk in [16, 64, 1000, 1 << 16] {
            let reader = Source::Reader(Box::new(io::Cursor::new(text.clone())));
            let (chunks, end) = collect(input(reader, chunk, 1000).0);
            assert!(matches!(end, Piece::End));
            assert!(chunks.iter().all(|lines| lines.ends_with(b"\n")));
            assert_eq!(chunks.concat(), text);
        }
    }

    #[test]
    fn a_last_line_without_a_break_comes_alone_and_marked() {
        let (mut writer, mut input, _) = piped(1 << 16, 1000);
        writer.write_all(b"one\ntwo\nthr").unwrap();
        drop(writer);
        let lines = |piece: Piece| match piece {
            Piece::Lines { chunk, cut } => (chunk.to_vec(), cut),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            lines(input.next(&|| {}).unwrap()),
            (b"one\ntwo\n".to_vec(), false)
        );
        assert_eq!(lines(input.next(&|| {}).unwrap()), (b"thr".to_vec(), true));
        assert!(matches!(input.next(&|| {}).unwrap(), Piece::End));
    }

    #[test]
    fn a_slow_source_is_handed_over_before_it_ends() {
        let (mut writer, mut input, _) = piped(1 << 16, 1000);
        writer.write_all(b"one\ntw").unwrap();
        let started = Instant::now();
        let Piece::Lines { chunk, cut: false } = input.next(&|| {}).unwrap() else {
            panic!("no lines");
        };
        assert_eq!(&*chunk, b"one\n");
        assert!(started.elapsed() < Duration::from_secs(1));
        writer.write_all(b"o\n").unwrap();
        let Piece::Lines { chunk, .. } = input.next(&|| {}).unwrap() else {
            panic!("no lines");
        };
        assert_eq!(&*chunk, b"two\n");
    }

    #[test]
    fn a_line_beyond_the_limit_ends_the_input_behind_the_lines_before_it() {
        let text = [b"good\n".to_vec(), vec![b'x'; 5000]].concat();
        let (chunks, end) =
            collect(input(Source::Reader(Box::new(io::Cursor::new(text))), 64, 2000).0);
        assert_eq!(chunks, [b"good\n"]);
        let Piece::TooLong { beginning } = end else {
            panic!("{end:?}");
        };
        assert!(beginning.starts_with(b"xxx"));
    }

    /// A header, here its length in digits, and so many bytes.
    fn framed(payload: &[u8]) -> Vec<u8> {
        [payload.len().to_string().as_bytes(), b"\n", payload].concat()
    }

    /// Payloads of an input that has nothing but frames; those within a chunk and those that are not.
    fn frames(mut input: Input) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while let Piece::Lines { chunk, .. } = input.next(&|| {}).unwrap() {
            let mut rest = &chunk[..];
            let mut begun = None;
            while let Some(end) = memchr::memchr(b'\n', rest) {
                let length: usize = str::from_utf8(&rest[..end]).unwrap().parse().unwrap();
                rest = &rest[end + 1..];
                if length > rest.len() {
                    begun = Some(input.begin_frame(length, rest));
                    break;
                }
                found.push(rest[..length].to_vec());
                rest = &rest[length..];
            }
            drop(chunk);
            let Some(begun) = begun else { continue };
            let Finished::Whole(chunk, at) = input.finish_frame(begun, &|| {}).unwrap() else {
                panic!("no frame");
            };
            assert_eq!(chunk[at.clone()].as_ptr().addr() % ALIGNMENT, 0);
            found.push(chunk[at].to_vec());
        }
        found
    }

    #[test]
    fn frames_are_all_their_bytes_whatever_these_are() {
        for size in [0, 1, 63, 1000, 70_000, 300_000, 1_000_000] {
            let payloads: Vec<Vec<u8>> = (0..12)
                .map(|round| (0..size + round).map(|i| (i % 11 + round) as u8).collect())
                .collect();
            let text: Vec<u8> = payloads
                .iter()
                .flat_map(|payload| framed(payload))
                .collect();
            let reader = Source::Reader(Box::new(io::Cursor::new(text.clone())));
            assert_eq!(frames(input(reader, 1 << 16, 1 << 20).0), payloads);
            let (mut writer, input, _) = piped(1 << 16, 1 << 20);
            let thread = thread::spawn(move || {
                for piece in text.chunks(50_021) {
                    writer.write_all(piece).unwrap();
                }
            });
            assert_eq!(frames(input), payloads);
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_frame_that_does_not_come_whole_says_how_much_came() {
        let (mut writer, mut input, _) = piped(1 << 16, 1000);
        writer.write_all(b"header\nabc").unwrap();
        drop(writer);
        assert!(matches!(input.next(&|| {}).unwrap(), Piece::Lines { .. }));
        let begun = input.begin_frame(10, b"");
        let finished = input.finish_frame(begun, &|| {}).unwrap();
        assert!(matches!(finished, Finished::Cut(3)), "{finished:?}");
    }

    #[test]
    fn stopping_ends_a_blocked_read() {
        let (_writer, mut input, stop) = piped(64, 100);
        let reader = thread::spawn(move || matches!(input.next(&|| {}).unwrap(), Piece::Stopped));
        thread::sleep(Duration::from_millis(20));
        stop.stop();
        assert!(reader.join().unwrap());
    }

    #[test]
    fn silence_is_measured_and_backpressure_is_not() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (mut input, stop, budget) = input(Source::Descriptor(reader.into()), 64, 100);
        let gauge = Arc::clone(&input.gauge);
        let held = budget.charge(1 << 20);
        let thread = thread::spawn(
            move || {
                while let Piece::Lines { .. } = input.next(&|| {}).unwrap() {}
            },
        );
        while !budget.is_waiting() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(30));
        assert_eq!(gauge.idle(), Duration::ZERO);
        drop(held);
        thread::sleep(Duration::from_millis(100));
        assert!(gauge.idle() >= Duration::from_millis(50));
        writer.write_all(b"x\n").unwrap();
        thread::sleep(Duration::from_millis(20));
        assert!(gauge.idle() < Duration::from_millis(50));
        stop.stop();
        thread.join().unwrap();
    }
}
