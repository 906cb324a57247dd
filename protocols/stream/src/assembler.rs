//! Small batches become larger ones, and states stay barriers.
//!
//! A state that arrives is only a candidate. The rows before it are *covered*, those that come after it *open*. When the next state
//! arrives before the candidate was given out, it takes its place and covers the open rows too; otherwise the candidate goes out
//! right behind the covered rows, and before any open one. So whatever has been given out, the last state among it covers exactly
//! the batches before it.
//!
//! Where streams say states of their own (Airbyte), a state covers the rows of its stream alone. Those of other such streams stay
//! open, and wait for theirs; when they cannot, because memory is short or only one stream has any, they are given out, and
//! the stream is *ahead*: no state goes out until its own has come. Rows of streams that say none are covered by any.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use dativo_codec::{StreamId, unify};

use crate::budget::{Budget, Permit};
use crate::event::{Event, nbytes};
use crate::sequencer::Scope;
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

/// Rejects whose lines are places of rows, as numbers of the stream's rows, from 1 on.
fn numbered(rejects: &RecordBatch, before: u64) -> Result<RecordBatch, ArrowError> {
    let first = i64::try_from(before).unwrap_or(i64::MAX).saturating_add(1);
    let places = rejects.column(0).as_primitive::<Int64Type>();
    let mut columns = rejects.columns().to_vec();
    columns[0] = Arc::new(places.unary::<_, Int64Type>(|place| place.saturating_add(first)));
    RecordBatch::try_new(rejects.schema(), columns)
}

struct Slot {
    stream: StreamId,
    covered: Pending,
    open: Pending,
    /// Whether it says states of its own.
    stateful: bool,
    /// Whether rows were given out that no state of its own covers.
    ahead: bool,
    /// Rows that came, rejected ones too.
    seen: u64,
}

impl Slot {
    /// Whether no state has to wait for this stream's.
    fn is_settled(&self) -> bool {
        !self.stateful || (self.open.is_empty() && !self.ahead)
    }
}

/// Orders what the decoders made into events.
pub(crate) struct Assembler {
    slots: Vec<Slot>,
    places: HashMap<StreamId, usize>,
    stateful: HashSet<StreamId>,
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
    /// `stateful` are the streams that say states of their own.
    pub(crate) fn new(budget: &Arc<Budget>, stateful: HashSet<StreamId>) -> Self {
        Self {
            slots: Vec::new(),
            places: HashMap::new(),
            stateful,
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
            let slot = &mut self.slots[place];
            let rejects = match output.rejects {
                Some(rejects) if output.by_row => Some(numbered(&rejects, slot.seen)?),
                rejects => rejects,
            };
            slot.seen += output.seen;
            let open = &mut slot.open;
            let before = open.bytes;
            open.add(output.batch, rejects)?;
            self.pending_bytes = self.pending_bytes + open.bytes - before;
            if open.is_enough() {
                // A stream that is ahead holds the candidate back: its rows may as well go before it.
                let ahead = self.slots[place].ahead;
                if ahead || (!has_candidate && self.may_flow(place)) {
                    self.flush_open(place)?;
                }
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

    /// Takes a state that came at this byte of the input, and says all that the one before said.
    pub(crate) fn state(
        &mut self,
        data: Vec<u8>,
        scope: &Scope,
        position: u64,
    ) -> Result<(), ArrowError> {
        if self.candidate.replace(data).is_some() {
            self.superseded += 1;
        }
        for slot in &mut self.slots {
            let is_covered = match scope {
                Scope::All => true,
                Scope::Streams(streams) => !slot.stateful || streams.contains(&slot.stream),
            };
            if is_covered {
                slot.covered.append(std::mem::take(&mut slot.open));
                slot.ahead = false;
            }
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
    pub(crate) fn schema(&mut self, stream: &StreamId, event: Event) -> Result<(), ArrowError> {
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
    pub(crate) fn barrier(&mut self, stream: &StreamId, event: Event) -> Result<(), ArrowError> {
        self.give_candidate()?;
        let place = self.place(stream);
        self.flush_open(place)?;
        self.push(event);
        self.settle();
        Ok(())
    }

    /// Takes the event that a stream has ended: its rows go first, but for those that wait for its own state.
    pub(crate) fn ended(&mut self, stream: &StreamId, event: Event) -> Result<(), ArrowError> {
        let place = self.place(stream);
        if self.slots[place].stateful {
            self.aside(event);
            return Ok(());
        }
        self.barrier(stream, event)
    }

    /// Takes an event whose place does not matter.
    pub(crate) fn aside(&mut self, event: Event) {
        self.push(event);
        self.settle();
    }

    /// Gives out all rows, in order; and the candidate, unless it must wait for another one.
    pub(crate) fn flush(&mut self) -> Result<(), ArrowError> {
        self.give_candidate()?;
        for place in 0..self.slots.len() {
            self.flush_open(place)?;
        }
        self.pending_since = self.waits().then(Instant::now);
        self.settle();
        Ok(())
    }

    /// Gives out what has waited for long, but for rows that wait for their stream's state.
    pub(crate) fn flush_old(&mut self) -> Result<(), ArrowError> {
        self.give_candidate()?;
        for place in 0..self.slots.len() {
            if self.slots[place].ahead || self.may_flow(place) {
                self.flush_open(place)?;
            }
        }
        self.pending_since = self.waits().then(Instant::now);
        self.settle();
        Ok(())
    }

    /// Gives out everything: there will be no other state.
    pub(crate) fn finish(&mut self) -> Result<(), ArrowError> {
        self.flush()?;
        if let Some(state) = self.candidate.take() {
            self.push(Event::State(state));
        }
        self.pending_since = None;
        self.settle();
        Ok(())
    }

    fn waits(&self) -> bool {
        self.candidate.is_some() || self.pending_bytes > 0
    }

    fn place(&mut self, stream: &StreamId) -> usize {
        if let Some(place) = self.places.get(stream) {
            return *place;
        }
        let place = self.slots.len();
        self.places.insert(stream.clone(), place);
        self.slots.push(Slot {
            stream: stream.clone(),
            covered: Pending::default(),
            open: Pending::default(),
            stateful: self.stateful.contains(stream),
            ahead: false,
            seen: 0,
        });
        place
    }

    /// Whether open rows of this stream may go out without harm: no other one's state will have to wait for this one's.
    fn may_flow(&self, place: usize) -> bool {
        let mut others = self.slots.iter().enumerate();
        !self.slots[place].stateful
            || others.all(|(other, slot)| other == place || slot.is_settled())
    }

    /// Gives out what the candidate covers, and the candidate, unless a stream is ahead of it.
    fn give_candidate(&mut self) -> Result<(), ArrowError> {
        if self.candidate.is_none() {
            return Ok(());
        }
        for place in 0..self.slots.len() {
            self.flush_covered(place)?;
        }
        if self.slots.iter().any(|slot| slot.ahead) {
            return Ok(());
        }
        let Some(state) = self.candidate.take() else {
            return Ok(());
        };
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
        let slot = &mut self.slots[place];
        let pending = std::mem::take(&mut slot.open);
        slot.ahead |= slot.stateful && !pending.is_empty();
        self.give(place, pending)
    }

    fn give(&mut self, place: usize, pending: Pending) -> Result<(), ArrowError> {
        self.pending_bytes -= pending.bytes;
        let stream = self.slots[place].stream.clone();
        for batch in join(pending.batches)? {
            let stream = stream.clone();
            self.push(Event::Batch { stream, batch });
        }
        for batch in join(pending.rejects)? {
            let stream = stream.clone();
            self.push(Event::Rejects { stream, batch });
        }
        Ok(())
    }

    fn push(&mut self, event: Event) {
        let bytes = event.nbytes();
        self.ready_bytes += bytes;
        self.ready.push_back((event, bytes));
    }

    /// Holds as much of the budget as what is here takes; nothing for a lone state that must wait, else a message larger than the
    /// budget, which passes alone, would wait for it.
    fn settle(&mut self) {
        let rows = self.pending_bytes + self.ready_bytes;
        let candidate = self.candidate.as_ref().map_or(0, Vec::len);
        self.permit
            .set(if rows == 0 { 0 } else { rows + candidate });
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
            stream: stream.into(),
            seen: batch.num_rows() as u64,
            batch: Some(batch),
            rejects: None,
            by_row: false,
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
        let mut assembler = Assembler::new(&budget, HashSet::new());
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
        let mut assembler = Assembler::new(&budget, HashSet::new());
        add(&mut assembler, &budget, rows("a", 0..1));
        assembler.state(b"s1".to_vec(), &Scope::All, 100).unwrap();
        add(&mut assembler, &budget, rows("a", 1..3));
        assert_eq!(given(&mut assembler), [""; 0]);
        assembler
            .state(b"s2".to_vec(), &Scope::All, 9 << 20)
            .unwrap();
        assert_eq!(given(&mut assembler), ["a:3", "s2"]);
        assert_eq!(assembler.superseded(), 1);
    }

    #[test]
    fn rows_behind_a_state_are_not_given_before_it() {
        let budget = Budget::new(96 << 20);
        let mut assembler = Assembler::new(&budget, HashSet::new());
        add(&mut assembler, &budget, rows("a", 0..1));
        assembler.state(b"s1".to_vec(), &Scope::All, 100).unwrap();
        add(&mut assembler, &budget, rows("b", 0..20_000));
        assert_eq!(given(&mut assembler), [""; 0]);
        assembler.flush().unwrap();
        assert_eq!(given(&mut assembler), ["a:1", "s1", "b:20000"]);
    }

    #[test]
    fn a_new_schema_comes_behind_the_rows_of_the_old_one() {
        let budget = Budget::new(96 << 20);
        let mut assembler = Assembler::new(&budget, HashSet::new());
        let (a, b) = ("a".into(), "b".into());
        assembler.schema(&a, log("schema a")).unwrap();
        add(&mut assembler, &budget, rows("a", 0..1));
        assembler.schema(&b, log("schema b")).unwrap();
        assembler.state(b"s1".to_vec(), &Scope::All, 100).unwrap();
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
        let mut assembler = Assembler::new(&budget, HashSet::new());
        add(&mut assembler, &budget, rows("b", 0..1));
        assembler.state(b"s1".to_vec(), &Scope::All, 100).unwrap();
        assembler.barrier(&"a".into(), log("version")).unwrap();
        assert_eq!(given(&mut assembler), ["b:1", "s1", "version"]);
    }

    #[test]
    fn the_end_of_a_stream_comes_behind_its_rows() {
        let budget = Budget::new(96 << 20);
        let mut assembler = Assembler::new(&budget, HashSet::from(["b".into()]));
        add(&mut assembler, &budget, rows("a", 0..2));
        add(&mut assembler, &budget, rows("b", 0..1));
        assembler.ended(&"a".into(), log("a ended")).unwrap();
        assembler.ended(&"b".into(), log("b ended")).unwrap();
        assert_eq!(given(&mut assembler), ["a:2", "a ended", "b ended"]);
        say(&mut assembler, "s1", "b");
        assembler.flush().unwrap();
        assert_eq!(given(&mut assembler), ["b:1", "s1"]);
    }

    #[test]
    fn many_streams_stay_within_their_share_of_the_budget() {
        let budget = Budget::new(6 << 20);
        let mut assembler = Assembler::new(&budget, HashSet::new());
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

    fn stateful() -> (Arc<Budget>, Assembler) {
        let budget = Budget::new(6 << 20);
        let assembler = Assembler::new(&budget, HashSet::from(["a".into(), "b".into()]));
        (budget, assembler)
    }

    fn say(assembler: &mut Assembler, state: &str, stream: &str) {
        let scope = Scope::Streams(vec![stream.into()]);
        let data = state.as_bytes().to_vec();
        assembler.state(data, &scope, 100).unwrap();
    }

    #[test]
    fn a_stream_s_state_leaves_rows_of_others_open() {
        let (budget, mut assembler) = stateful();
        add(&mut assembler, &budget, rows("a", 0..1));
        add(&mut assembler, &budget, rows("b", 0..2));
        add(&mut assembler, &budget, rows("c", 0..3));
        say(&mut assembler, "a1", "a");
        assembler.flush_old().unwrap();
        assert_eq!(given(&mut assembler), ["a:1", "c:3", "a1", "b:2"]);
        say(&mut assembler, "b1", "b");
        assembler.finish().unwrap();
        assert_eq!(given(&mut assembler), ["b1"]);
    }

    #[test]
    fn rows_of_streams_in_turns_wait_for_their_states() {
        let (budget, mut assembler) = stateful();
        add(&mut assembler, &budget, rows("a", 0..10_000));
        assert_eq!(given(&mut assembler), ["a:10000"]);
        add(&mut assembler, &budget, rows("b", 0..10_000));
        assembler.flush_old().unwrap();
        assert_eq!(given(&mut assembler), [""; 0]);
        say(&mut assembler, "a1", "a");
        assembler.flush_old().unwrap();
        assert_eq!(given(&mut assembler), ["a1", "b:10000"]);
    }

    #[test]
    fn a_state_waits_for_the_states_of_streams_that_are_ahead() {
        let (budget, mut assembler) = stateful();
        add(&mut assembler, &budget, rows("a", 0..1));
        add(&mut assembler, &budget, rows("b", 0..2));
        assembler.flush().unwrap();
        assert_eq!(given(&mut assembler), ["a:1", "b:2"]);
        say(&mut assembler, "a1", "a");
        assembler.flush().unwrap();
        assert_eq!(given(&mut assembler), [""; 0]);
        say(&mut assembler, "a1b1", "b");
        assembler.flush().unwrap();
        assert_eq!(given(&mut assembler), ["a1b1"]);
    }

    #[test]
    fn the_end_gives_a_state_that_waited() {
        let (budget, mut assembler) = stateful();
        add(&mut assembler, &budget, rows("b", 0..2));
        assembler.flush().unwrap();
        say(&mut assembler, "a1", "a");
        assembler.finish().unwrap();
        assert_eq!(given(&mut assembler), ["b:2", "a1"]);
        assert!(assembler.is_empty());
        assert_eq!(budget.used(), 0);
    }
}
