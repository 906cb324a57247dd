//! The reader, as a host uses it.

use dativo_sdk::{Reader, SavedState};
use source_waves::{Config, Waves};

#[test]
fn a_run_goes_on_behind_its_state() {
    let read = |points, state: Option<SavedState>| {
        let mut saved = state.clone().unwrap_or_default();
        let config = Config {
            points,
            broken_at: None,
        };
        let mut reader = Waves::initialize(config, None, state).unwrap();
        let mut rows = 0;
        while let Some(piece) = reader.read_batch(4).unwrap() {
            rows += piece.data.num_rows();
            saved.merge(reader.get_incremental_state().unwrap().unwrap());
        }
        (rows, saved)
    };
    let (rows, state) = read(6, None);
    assert_eq!(rows, 6);
    assert_eq!(read(10, Some(state)).0, 4);
}
