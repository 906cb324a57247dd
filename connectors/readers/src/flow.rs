//! Text files to pieces, in order: one thread reads, others decode.
//!
//! ```text
//! reading thread: files → blocks of whole records ── tasks ──► decoding threads
//!         │ in order: where each block's answer will come              │ answers
//!         └──────────────────────────────► consumer, in `Flow::next` ◄─┘
//! ```
//!
//! Where a block ends is found without decoding what is before, so that it may be wrong; the decoder of a block sees that its last
//! record is open, and then the consumer puts the rest before the next block and decodes that one again. What is given is exact.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use arrow_array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use dativo_sdk::Error;

use crate::files::{Block, Compression, Encoding, Entry, Feed, Opening, Place, Position, open};

/// A kind of text file.
pub trait Format: Send + Sync + 'static {
    /// What is known of an open file.
    type Layout: Send + Sync;

    /// Reads what stands before the first record, and passes over it.
    ///
    /// # Errors
    /// When the file is not one of its stream.
    fn open(&self, stream: usize, file: &Entry, feed: &mut Feed) -> Result<Self::Layout, Error>;

    /// Where the last whole record of a text ends. It may be wrong where that would be slow to find out.
    fn boundary(&self, stream: usize, text: &[u8]) -> Option<usize>;

    /// The rows of a block.
    ///
    /// # Errors
    /// When a row is wrong, and that is to end the run.
    fn decode(
        &self,
        stream: usize,
        file: &Entry,
        layout: &Self::Layout,
        block: &Block,
    ) -> Result<Decoded, Error>;
}

/// What a block holds.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Rows.
    pub batch: Option<RecordBatch>,
    /// Rows that are none.
    pub rejects: Option<RecordBatch>,
    /// Where a record starts that is not all there.
    pub open: Option<usize>,
}

/// What to read of a file.
#[derive(Debug, Clone)]
pub struct Job {
    /// Number of its stream.
    pub stream: usize,
    /// The file.
    pub file: Entry,
    /// Where it is.
    pub place: Place,
    /// How it is packed.
    pub compression: Compression,
    /// How it is written.
    pub encoding: Encoding,
    /// Where to go on; at its beginning without.
    pub from: Option<Position>,
    /// Where to stop, in bytes; at its end without.
    pub until: Option<u64>,
    /// It must be as it was found: others read the rest of it.
    pub fixed: bool,
}

impl Job {
    /// Bytes that are left to read, packed as they are.
    pub fn bytes(&self) -> u64 {
        let start = self.from.as_ref().map_or(0, |from| from.offset);
        self.until.unwrap_or(self.file.size).saturating_sub(start)
    }
}

/// Limits of the work.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Threads that decode.
    pub threads: usize,
    /// Bytes of text decoded at a time.
    pub block: usize,
    /// Bytes of the longest record.
    pub record: usize,
}

/// A block of a file, decoded.
#[derive(Debug)]
pub struct Step {
    /// Number of its stream.
    pub stream: usize,
    /// The file, as it was when it was opened.
    pub file: Entry,
    /// Its rows.
    pub decoded: Decoded,
    /// Where the next record starts, and behind how many lines; `None` where the file cannot be read from there.
    pub next: Option<(u64, u64)>,
    /// The file ends here.
    pub last: bool,
}

impl Step {
    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.decoded.batch.is_none() && self.decoded.rejects.is_none()
    }
}

struct OpenFile<L> {
    stream: usize,
    file: Entry,
    layout: L,
    /// Positions in the text are positions in the file.
    seekable: bool,
}

type Answer = (Block, Result<Decoded, Error>);

struct Task<L> {
    file: Arc<OpenFile<L>>,
    block: Block,
    answer: Sender<Answer>,
}

enum Item<L> {
    Block(Arc<OpenFile<L>>, Receiver<Answer>),
    /// A file that has no records.
    Empty(usize, Entry),
    Failed(Error),
}

/// The files of a run, being read.
pub struct Flow<F: Format> {
    format: Arc<F>,
    items: Option<Receiver<Item<F::Layout>>>,
    spares: Sender<Vec<u8>>,
    threads: Vec<JoinHandle<()>>,
    places: Vec<Place>,
    /// The last block's record that was not all there.
    rest: Option<(u64, u64, Vec<u8>)>,
}

impl<F: Format> Flow<F> {
    /// Starts to read.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(format: F, jobs: Vec<Job>, limits: Limits) -> io::Result<Self> {
        let format = Arc::new(format);
        let places = jobs.iter().map(|job| job.place.clone()).collect();
        let (send_task, tasks) = bounded::<Task<F::Layout>>(limits.threads);
        let (send_item, items) = bounded(limits.threads + 1);
        let (spares, take_spare) = unbounded();
        let mut threads = Vec::new();
        for number in 0..limits.threads {
            let (format, tasks) = (Arc::clone(&format), tasks.clone());
            let named = thread::Builder::new().name(format!("decode-{number}"));
            threads.push(named.spawn(move || decode(&*format, &tasks))?);
        }
        let reading = Reading {
            format: Arc::clone(&format),
            tasks: send_task,
            items: send_item,
            spares: take_spare,
            limits,
        };
        threads.push(
            thread::Builder::new()
                .name("read".to_owned())
                .spawn(move || reading.run(jobs))?,
        );
        Ok(Self {
            format,
            items: Some(items),
            spares,
            threads,
            places,
            rest: None,
        })
    }

    /// The next block, or `None` at the end.
    ///
    /// # Errors
    /// When a file cannot be read, or a row is wrong and that is to end the run.
    pub fn next(&mut self) -> Result<Option<Step>, Error> {
        let Some(items) = &self.items else {
            return Ok(None);
        };
        let (file, answer) = match items.recv() {
            Err(_) => return Ok(None),
            Ok(Item::Failed(error)) => return Err(error),
            Ok(Item::Empty(stream, file)) => {
                let decoded = Decoded::default();
                return Ok(Some(Step {
                    stream,
                    file,
                    decoded,
                    next: None,
                    last: true,
                }));
            }
            Ok(Item::Block(file, answer)) => (file, answer),
        };
        let (mut block, mut decoded) = answer
            .recv()
            .map_err(|_| Error::connector("a decoding thread ended before its time"))?;
        if let Some((offset, line, mut bytes)) = self.rest.take() {
            bytes.extend_from_slice(&block.bytes);
            block = Block {
                bytes,
                offset,
                line,
                last: block.last,
            };
            decoded = self
                .format
                .decode(file.stream, &file.file, &file.layout, &block);
        }
        let mut decoded = decoded?;
        let done = decoded.open.take().unwrap_or(block.bytes.len());
        let line = block.line + crate::files::lines(&block.bytes[..done]);
        let next = block.offset + done as u64;
        let last = block.last;
        if done < block.bytes.len() {
            self.rest = Some((next, line, block.bytes[done..].to_vec()));
        }
        // Nobody takes it after the last file.
        let _ = self.spares.send(block.bytes);
        Ok(Some(Step {
            stream: file.stream,
            file: file.file.clone(),
            decoded,
            next: file.seekable.then_some((next, line)),
            last,
        }))
    }

    /// Stops, and waits until all threads have ended.
    pub fn stop(&mut self) {
        // The reading thread and then the decoding ones end, when nobody takes what they give.
        self.items = None;
        self.places.iter().for_each(Place::close);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl<F: Format> Drop for Flow<F> {
    fn drop(&mut self) {
        self.stop();
    }
}

fn decode<F: Format>(format: &F, tasks: &Receiver<Task<F::Layout>>) {
    for Task {
        file,
        block,
        answer,
    } in tasks
    {
        let decoded = format.decode(file.stream, &file.file, &file.layout, &block);
        // Nobody waits for it after an error.
        let _ = answer.send((block, decoded));
    }
}

struct Reading<F: Format> {
    format: Arc<F>,
    tasks: Sender<Task<F::Layout>>,
    items: Sender<Item<F::Layout>>,
    spares: Receiver<Vec<u8>>,
    limits: Limits,
}

/// Nobody takes what is read any more.
struct Stopped;

impl<F: Format> Reading<F> {
    fn run(&self, jobs: Vec<Job>) {
        for opened in in_order(jobs) {
            match opened.and_then(|opened| self.file(opened)) {
                Ok(Ok(())) => {}
                Ok(Err(Stopped)) => return,
                Err(error) => {
                    let _ = self.items.send(Item::Failed(error));
                    return;
                }
            }
        }
    }

    fn file(&self, opened: Opened) -> Result<Result<(), Stopped>, Error> {
        let Opened {
            job,
            mut feed,
            file,
            seekable,
        } = opened;
        let stream = job.stream;
        if job.fixed && file != job.file {
            return Err(changed(&file));
        }
        let layout = self.format.open(stream, &file, &mut feed)?;
        // A file that was changed since is read from its beginning.
        if let Some(from) = job.from.filter(|from| seekable && from.is_in(&file)) {
            let bytes = job.place.read(&file, from.offset, job.until)?;
            feed = Feed::new(bytes, from.offset, from.line);
        }
        if let Some(until) = job.until {
            feed.stop_at(until);
        }
        let open = Arc::new(OpenFile {
            stream,
            file,
            layout,
            seekable,
        });
        let failed = |error: io::Error| unreadable(&open.file.path, error);
        let mut any = false;
        loop {
            let spare = self.spares.try_recv().unwrap_or_default();
            let boundary = |text: &[u8]| self.format.boundary(stream, text);
            let Some(block) = feed
                .next(self.limits.block, self.limits.record, spare, boundary)
                .map_err(failed)?
            else {
                break;
            };
            any = true;
            let last = block.last;
            if last {
                unchanged(&job.place, &open.file)?;
            }
            let (answer, wait) = bounded(1);
            let item = Item::Block(Arc::clone(&open), wait);
            let task = Task {
                file: Arc::clone(&open),
                block,
                answer,
            };
            if self.items.send(item).is_err() || self.tasks.send(task).is_err() {
                return Ok(Err(Stopped));
            }
            if last {
                break;
            }
        }
        if !any
            && self
                .items
                .send(Item::Empty(stream, open.file.clone()))
                .is_err()
        {
            return Ok(Err(Stopped));
        }
        Ok(Ok(()))
    }
}

/// Objects of which the first bytes are asked for before they are wanted: where each is short, their answers are what takes time.
const OPENED_AHEAD: usize = 8;

/// A file that was opened.
pub(crate) struct Opened {
    pub job: Job,
    /// Its text from its beginning.
    pub feed: Feed,
    /// The file as it is now.
    pub file: Entry,
    /// It can be read from a position.
    pub seekable: bool,
}

/// Opens files one behind the other.
pub(crate) fn in_order(jobs: Vec<Job>) -> impl Iterator<Item = Result<Opened, Error>> {
    let mut left = jobs.into_iter();
    let mut begun: VecDeque<(Job, Result<Opening, Error>)> = VecDeque::new();
    std::iter::from_fn(move || {
        while begun.len() < OPENED_AHEAD
            && let Some(job) = left.next()
        {
            let opening = job.place.begin(&job.file, job.until);
            begun.push_back((job, opening));
        }
        let (job, opening) = begun.pop_front()?;
        Some(opening.and_then(|opening| opened(job, opening)))
    })
}

fn opened(job: Job, opening: Opening) -> Result<Opened, Error> {
    let (file, bytes) = opening.finish()?;
    let (text, before) = open(bytes, job.compression, job.encoding)
        .map_err(|error| unreadable(&file.path, error))?;
    Ok(Opened {
        job,
        feed: Feed::new(text, before.unwrap_or(0), 0),
        file,
        seekable: before.is_some(),
    })
}

/// What was read of a file that changed meanwhile may be of neither.
fn unchanged(place: &Place, file: &Entry) -> Result<(), Error> {
    if place.is_unchanged(file)? {
        return Ok(());
    }
    Err(changed(file))
}

pub(crate) fn changed(file: &Entry) -> Error {
    Error::temporary(format!("`{}` was changed while it was read", file.path))
        .with_hint(
            "run again when nobody writes to it; to write to another name and rename avoids it",
        )
        .with_fact("file", file.path.as_str())
}

pub(crate) fn unreadable(path: &str, error: io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    // What an object store said comes as it is through whatever unpacks and converts.
    let error = match error.downcast::<Error>() {
        Ok(own) => return own,
        Err(other) => other,
    };
    match error.kind() {
        UnexpectedEof => Error::connector(format!("`{path}` ends too early: it is cut short"))
            .with_hint("it was copied or written in part: bring it anew"),
        InvalidData | InvalidInput | io::ErrorKind::Other => Error::connector(format!(
            "`{path}`: {error}"
        ))
        .with_hint("`encoding` and `compression` say how it is written, where its name does not"),
        _ => return crate::files::failed(path, &error),
    }
    .with_fact("file", path)
}
