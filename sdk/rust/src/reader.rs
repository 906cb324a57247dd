//! The reader contract: five methods, called from one thread.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Catalog, Error, Estimate, Info, Partition, Piece, ReadCatalog, SavedState, State};

/// A source. The host calls, never from two threads at a time:
///
/// [`initialize`](Self::initialize) once; [`get_schema`](Self::get_schema) any time after, before the first batch; then
/// [`read_batch`](Self::read_batch) until it gives `None`, and after each piece
/// [`get_incremental_state`](Self::get_incremental_state); [`close`](Self::close) once, however the run ends, also after an
/// error; then it drops the reader. A new one is made for each use: to ask for the streams, to check, to read. Any method may
/// block. Under Python none of them holds the GIL.
///
/// An [`Error`] says by its kind what the caller should do. A panic counts as a bug of the reader: the run fails, and neither
/// the process that it is loaded into nor other readers in it are harmed.
pub trait Reader: Send + Sized + 'static {
    /// What the user configures. Its JSON Schema is the spec; mark secrets with
    /// `#[schemars(extend("airbyte_secret" = true))]`.
    type Config: DeserializeOwned + JsonSchema;

    /// Who this reader is and what it can do.
    const INFO: Info;

    /// Opens the source. `catalog` is what to read; without one, only [`Self::get_schema`] or [`Self::check`] may follow, or
    /// everything is to be read. `state` is where to go on; without one, at the beginning.
    fn initialize(
        config: Self::Config,
        catalog: Option<ReadCatalog>,
        state: Option<SavedState>,
    ) -> Result<Self, Error>;

    /// The streams this reader offers, selected or not.
    fn get_schema(&mut self) -> Result<Catalog, Error>;

    /// The next rows, at most `max_rows` of one selected stream, or `None` at the end.
    ///
    /// A batch's schema may differ from that of the batch before: the host tells the target. A reader does well to stay below
    /// 8 MiB a batch: what it gives is held in memory until it is written.
    fn read_batch(&mut self, max_rows: usize) -> Result<Option<Piece>, Error>;

    /// The state that covers everything given so far, or `None` where there is none that does.
    ///
    /// A state with a stream replaces that stream's state, and must be of the stream of the last piece; one without replaces
    /// the one that all streams share. What is committed is always a state and exactly the rows before it. A run that is
    /// repeated starts with the committed state and must go on behind those rows, or (with a key and `merge`) before them.
    fn get_incremental_state(&mut self) -> Result<Option<State>, Error>;

    /// Frees everything that dropping the reader would not free, and says whether that went well.
    fn close(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether the configuration works. Called after [`Self::initialize`], in place of [`Self::get_schema`]. Say
    /// [`Info::checks`] where this is more than to ask for the streams.
    fn check(&mut self) -> Result<(), Error> {
        self.get_schema().map(drop)
    }

    /// Parts that together are all there is to read, in the order in which their rows are to come; none to read it whole. Say
    /// [`Info::partitions`] where there may be some.
    ///
    /// Called after [`Self::initialize`] with a catalog and a state, on a reader that is not asked to read and stays open until
    /// all parts were read: what it holds, such as a snapshot, the others may use. Of the readers of the parts no state is asked.
    ///
    /// `count` is how many are read at a time; `target_bytes` about how large a part should be as Arrow data: one that waits for
    /// its turn is kept in memory.
    fn partitions(&mut self, count: usize, target_bytes: usize) -> Result<Vec<Partition>, Error> {
        let _ = (count, target_bytes);
        Ok(Vec::new())
    }

    /// About how much there is to read. Called once, after [`Self::initialize`] with a catalog. Say [`Info::estimates`] where
    /// this knows something.
    fn estimates(&mut self) -> Result<Vec<Estimate>, Error> {
        Ok(Vec::new())
    }
}
