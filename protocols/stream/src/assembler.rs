//! Small batches become larger ones, and states stay barriers.
//!
//! A state that arrives is only a candidate. The rows before it are *covered*, those that come after it *open*. When the next state
//! arrives before the candidate was given out, it takes its place and covers the open rows too; otherwise the candidate goes out
//! right behind the covered rows, and before any open one. So whatever has been given out, the last state among it covers exactly
//! the batches before it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use dativo_codec::unify;

use crate::budget::{Budget, Permit};
use crate::event::{Event, nbytes};
use crate::work::Output;

/// A batch of so many rows, or bytes, is not small.
const ENOUGH_ROWS: usize = 8192;
const ENOUGH_BYTES: usize = 1 << 20;
/// Small batches are joined when a stream has so many, because each costs some kilobytes beside its values.
const MANY: usize = 64;
/// A candidate is given out after so many bytes of input since the last one …
const BARRIER_BYTES: u64 = 8 << 20;
/// … or after so long.
pub(crate) const BARRIER_AGE: Duration = Duration::from_secs(1);

/// Rows of one stream and of one schema that wait.
#[derive(Default)]
struct Pending {
    batches: Vec<RecordBatch>,
    rejects: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.rejects.is_empty()
    }

    fn is_enough(&self) -> bool {
        self.rows >= ENOUGH_ROWS || self.bytes >= ENOUGH_BYTES
    }

    fn add(
        &mut self,
        batch: Option<RecordBatch>,
        rejects: Option<RecordBatch>,
    ) -> Result<(), ArrowError> {
        for (batch, list) in [(batch, &mut self.batches), (rejects, &mut self.rejects)] {
            let Some(batch) = batch else { continue };
            self.rows += batch.num_rows();
            self.bytes += nbytes(&batch);
            list.push(batch);
            if list.len() >= MANY {
                let before: usize = list.iter().map(nbytes).sum();
                *list = join(std::mem::take(list))?;
                self.bytes = self.bytes + list.iter().map(nbytes).sum::<usize>() - before;
            }
        }
        Ok(())
    }

    fn append(&mut self, mut later: Self) {
        self.batches.append(&mut later.batches);
        self.rejects.append(&mut later.rejects);
        self.rows += later.rows;
        self.bytes += later.bytes;
    }
}

/// Concatenates neighbours until they are large enough; large ones pass as they are.
fn join(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut joined = Vec::new();
    let mut group: Vec<RecordBatch> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for batch in batches {
        let (more_rows, more_bytes) = (batch.num_rows(), nbytes(&batch));
        let is_enough = |rows, bytes| rows >= ENOUGH_ROWS || bytes >= ENOUGH_BYTES;
        if is_enough(rows, bytes) || is_enough(more_rows, more_bytes) {
            joined.extend(concat(std::mem::take(&mut group))?);
            (rows, bytes) = (0, 0);
        }
        rows += more_rows;
        bytes += more_bytes;
        group.push(batch);
    }
    joined.extend(concat(group)?);
    Ok(joined)
}

fn concat(group: Vec<RecordBatch>) -> Result<Option<RecordBatch>, ArrowError> {
    if group.len() < 2 {
        return Ok(group.into_iter().next());
    }
    let Some((schema, batches)) = unify(group)? else {
        return Ok(None);
    };
    concat_batches(&schema, &batches).map(Some)
}

struct Slot {
    stream: Arc<str>,
    covered: Pending,
    open: Pending,
}

/// Orders what the decoders made into events.
pub(crate) struct Assembler {
    slots: Vec<Slot>,
    places: HashMap<Arc<str>, usize>,
    candidate: Option<Vec<u8>>,
    ready: VecDeque<(Event, usize)>,
    pending_limit: usize,
    pending_bytes: usize,
    ready_bytes: usize,
    permit: Permit,
    pending_since: Option<Instant>,
    last_state_at: Instant,
    last_state_position: u64,
    superseded: u64,
}

impl Assembler {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self {
            slots: Vec::new(),
            places: HashMap::new(),
            candidate: None,
            ready: VecDeque::new(),
            pending_limit: budget.limit() / 3,
            pending_bytes: 0,
            ready_bytes: 0,
            permit: budget.charge(0),
            pending_since: None,
            last_state_at: Instant::now(),
            last_state_position: 0,
            superseded: 0,
        }
    }

    /// The next event, in order.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let (event, bytes) = self.ready.pop_front()?;
        self.ready_bytes -= bytes;
        self.settle();
        Some(event)
    }

    /// Whether nothing is left to give out.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && !self.waits()
    }

    /// States that were replaced by a later one.
    pub(crate) fn superseded(&self) -> u64 {
        self.superseded
    }

    /// How long the oldest of what is pending has waited; None when nothing is.
    pub(crate) fn pending_age(&self) -> Option<Duration> {
        self.pending_since.map(|since| since.elapsed())
    }

    /// Takes what a task gave. `permit` covers it.
    pub(crate) fn add(&mut self, outputs: Vec<Output>, permit: Permit) -> Result<(), ArrowError> {
        for output in outputs {
            let place = self.place(&output.stream);
            let has_candidate = self.candidate.is_some();
            let open = &mut self.slots[place].open;
            let before = open.bytes;
            open.add(output.batch, output.rejects)?;
            self.pending_bytes = self.pending_bytes + open.bytes - before;
            if open.is_enough() && !has_candidate {
                self.flush_open(place)?;
            }
        }
        if self.pending_bytes > self.pending_limit {
            self.relieve()?;
        }
        self.pending_since = self
            .waits()
            .then(|| self.pending_since.unwrap_or_else(Instant::now));
        self.settle();
        drop(permit);
        Ok(())
    }

    /// Takes a state that came at this byte of the input.
    pub(crate) fn state(&mut self, data: Vec<u8>, position: u64) -> Result<(), ArrowError> {
        if self.candidate.replace(data).is_some() {
            self.superseded += 1;
        }
        for slot in &mut self.slots {
            slot.covered.append(std::mem::take(&mut slot.open));
        }
        let due = position.saturating_sub(self.last_state_position) >= BARRIER_BYTES
            || self.last_state_at.elapsed() >= BARRIER_AGE;
        self.last_state_position = if due {
            position
        } else {
            self.last_state_position
        };
        if due {
            self.give_candidate()?;
        } else {
            for place in 0..self.slots.len() {
                if self.slots[place].covered.is_enough() {
                    self.flush_covered(place)?;
                }
            }
        }
        self.pending_since = self
            .waits()
            .then(|| self.pending_since.unwrap_or_else(Instant::now));
        self.settle();
        Ok(())
    }

    /// Takes a new schema: the stream's rows of the old one go first.
    pub(crate) fn schema(&mut self, stream: &Arc<str>, event: Event) -> Result<(), ArrowError> {
        let place = self.place(stream);
        if self.slots[place].open.is_empty() {
            self.flush_covered(place)?;
        } else {
            self.give_candidate()?;
            self.flush_open(place)?;
        }
        self.push(event);
        self.settle();
        Ok(())
    }

    /// Takes an event that concerns the stream's rows before it and after it, and that no earlier state may cover.
    pub(crate) fn barrier(&mut self, stream: &Arc<str>, event: Event) -> Result<(), ArrowError> {
        self.give_candidate()?;
        let place = self.place(stream);
        self.flush_open(place)?;
        self.push(event);
        self.settle();
        Ok(())
    }

    /// Takes an event whose place does not matter.
    pub(crate) fn log(&mut self, event: Event) {
        self.push(event);
    }

    /// Gives out everything, in order.
    pub(crate) fn flush(&mut self) -> Result<(), ArrowError> {
        self.give_candidate()?;
        for place in 0..self.slots.len() {
            self.flush_open(place)?;
        }
        self.pending_since = None;
        self.settle();
        Ok(())
    }

    fn waits(&self) -> bool {
        self.candidate.is_some() || self.pending_bytes > 0
    }

    fn place(&mut self, stream: &Arc<str>) -> usize {
        if let Some(place) = self.places.get(stream) {
            return *place;
        }
        let place = self.slots.len();
        self.places.insert(Arc::clone(stream), place);
        self.slots.push(Slot {
            stream: Arc::clone(stream),
            covered: Pending::default(),
            open: Pending::default(),
        });
        place
    }

    fn give_candidate(&mut self) -> Result<(), ArrowError> {
        let Some(state) = self.candidate.take() else {
            return Ok(());
        };
        for place in 0..self.slots.len() {
            self.flush_covered(place)?;
        }
        self.push(Event::State(state));
        self.last_state_at = Instant::now();
        Ok(())
    }

    /// Gives out the largest until half the limit is left.
    fn relieve(&mut self) -> Result<(), ArrowError> {
        self.give_candidate()?;
        let mut places: Vec<usize> = (0..self.slots.len()).collect();
        places.sort_by_key(|place| std::cmp::Reverse(self.slots[*place].open.bytes));
        for place in places {
            if self.pending_bytes <= self.pending_limit / 2 {
                break;
            }
            self.flush_open(place)?;
        }
        Ok(())
    }

    fn flush_covered(&mut self, place: usize) -> Result<(), ArrowError> {
        let pending = std::mem::take(&mut self.slots[place].covered);
        self.give(place, pending)
    }

    fn flush_open(&mut self, place: usize) -> Result<(), ArrowError> {
        let pending = std::mem::take(&mut self.slots[place].open);
        self.give(place, pending)
    }

    fn give(&mut self, place: usize, pending: Pending) -> Result<(), ArrowError> {
        self.pending_bytes -= pending.bytes;
        let stream = Arc::clone(&self.slots[place].stream);
        for batch in join(pending.batches)? {
            let stream = Arc::clone(&stream);
            self.push(Event::Batch { stream, batch });
        }
        for batch in join(pending.rejects)? {
            let stream = Arc::clone(&stream);
            self.push(Event::Rejects { stream, batch });
        }
        Ok(())
    }

    fn push(&mut self, event: Event) {
        let bytes = event.nbytes();
        self.ready_bytes += bytes;
        self.ready.push_back((event, bytes));
    }

    /// Holds as much of the budget as what is here takes.
    fn settle(&mut self) {
        let candidate = self.candidate.as_ref().map_or(0, Vec::len);
        self.permit
            .set(self.pending_bytes + self.ready_bytes + candidate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int64Array, record_batch};

    fn rows(stream: &str, values: std::ops::Range<i64>) -> Output {
        let mut batch = record_batch!(("n", Int64, [0])).unwrap();
        let values = Int64Array::from_iter_values(values);
        batch = RecordBatch::try_new(batch.schema(), vec![Arc::new(values)]).unwrap();
        Output {
            stream: Arc::from(stream),
            seen: batch.num_rows() as u64,
            batch: Some(batch),
            rejects: None,
        }
    }

    fn log(text: &str) -> Event {
        Event::Log {
            level: crate::event::Level::Info,
            message: text.to_owned(),
        }
    }

    /// Events as short texts: `a:3` are three rows of stream a.
    fn given(assembler: &mut Assembler) -> Vec<String> {
        std::iter::from_fn(|| assembler.pop())
            .map(|event| match event {
                Event::Batch { stream, batch } => format!("{stream}:{}", batch.num_rows()),
                Event::State(data) => String::from_utf8(data).unwrap(),
                Event::Log { message, .. } => message,
                other => format!("{other:?}"),
            })
            .collect()
    }

    fn add(assembler: &mut Assembler, budget: &Arc<Budget>, output: Output) {
        assembler.add(vec![output], budget.charge(0)).unwrap();
    }

    #[test]
    fn small_batches_are_joined_and_large_ones_pass() {
        let budget = Budget::new(96 << 20);
        let mut assembler = Assembler::new(&budget);
        for _ in 0..3 {
            add(&mut assembler, &budget, rows("a", 0..10));
            add(&mut assembler, &budget, rows("b", 0..10));
        }
        assert_eq!(given(&mut assembler), [""; 0]);
        add(&mut assembler, &budget, rows("a", 0..10_000));
        assert_eq!(given(&mut assembler), ["a:30", "a:10000"]);
        assembler.flush().unwrap();
        assert_eq!(given(&mut assembler), ["b:30"]);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_state_waits_for_its_successor_unless_enough_was_read() {
        let budget = Budget::new(96 << 20);
        let mut assembler = Assembler::new(&budget);
        add(&mut assembler, &budget, rows("a", 0..1));
        assembler.state(b"s1".to_vec(), 100).unwrap();
        add(&mut assembler, &budget, rows("a", 1..3));
        assert_eq!(given(&mut assembler), [""; 0]);
        assembler.state(b"s2".to_vec(), 9 << 20).unwrap();
        assert_eq!(given(&mut assembler), ["a:3", "s2"]);
        assert_eq!(assembler.superseded(), 1);
    }

    #[test]
    fn rows_behind_a_state_are_not_given_before_it() {
        let budget = Budget::new(96 << 20);
        let mut assembler = Assembler::new(&budget);
        add(&mut assembler, &budget, rows("a", 0..1));
        assembler.state(b"s1".to_vec(), 100).unwrap();
        add(&mut assembler, &budget, rows("b", 0..20_000));
        assert_eq!(given(&mut assembler), [""; 0]);
        assembler.flush().unwrap();
        assert_eq!(given(&mut assembler), ["a:1", "s1", "b:20000"]);
    }

    #[test]
    fn a_new_schema_comes_behind_the_rows_of_the_old_one() {
        let budget = Budget::new(96 << 20);
        let mut assembler = Assembler::new(&budget);
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        assembler.schema(&a, log("schema a")).unwrap();
        add(&mut assembler, &budget, rows("a", 0..1));
        assembler.schema(&b, log("schema b")).unwrap();
        assembler.state(b"s1".to_vec(), 100).unwrap();
        add(&mut assembler, &budget, rows("a", 0..2));
        assembler.schema(&a, log("schema a2")).unwrap();
        assert_eq!(
            given(&mut assembler),
            ["schema a", "schema b", "a:1", "s1", "a:2", "schema a2"]
        );
    }

    #[test]
    fn a_version_is_covered_by_no_earlier_state() {
        let budget = Budget::new(96 << 20);
        let mut assembler = Assembler::new(&budget);
        add(&mut assembler, &budget, rows("b", 0..1));
        assembler.state(b"s1".to_vec(), 100).unwrap();
        assembler.barrier(&Arc::from("a"), log("version")).unwrap();
        assert_eq!(given(&mut assembler), ["b:1", "s1", "version"]);
    }

    #[test]
    fn many_streams_stay_within_their_share_of_the_budget() {
        let budget = Budget::new(6 << 20);
        let mut assembler = Assembler::new(&budget);
        let mut given_rows = 0;
        for round in 0..400 {
            for stream in 0..100 {
                let stream = format!("s{stream}");
                add(
                    &mut assembler,
                    &budget,
                    rows(&stream, round * 50..round * 50 + 50),
                );
                assert!(assembler.pending_bytes <= 2 << 20);
                while let Some(event) = assembler.pop() {
                    let Event::Batch { batch, .. } = event else {
                        panic!("{event:?}");
                    };
                    given_rows += batch.num_rows();
                }
            }
        }
        assembler.flush().unwrap();
        while let Some(Event::Batch { batch, .. }) = assembler.pop() {
            given_rows += batch.num_rows();
        }
        assert_eq!(given_rows, 400 * 100 * 50);
        assert_eq!(budget.used(), 0);
    }
}
