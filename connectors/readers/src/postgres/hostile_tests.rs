//! The decoder against bytes that are cut, shuffled and made up: errors or rows, never a panic.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{Field, Schema};

use super::kind::Kind;
use super::numeric::tests::sent;
use super::rows::{Limits, OnBadValue, Rows};
use super::tuples::Broken;

const MUCH: Limits = Limits {
    rows: 1_000_000,
    bytes: 1 << 30,
};

/// Each kind with a value of it.
fn kinds() -> Vec<(Kind, Vec<u8>)> {
    let array = |element: u32, lengths: &[i32], cells: &[Option<&[u8]>]| {
        let mut bytes = (lengths.len() as i32).to_be_bytes().to_vec();
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(element.to_be_bytes());
        for len in lengths {
            bytes.extend(len.to_be_bytes());
            bytes.extend(1i32.to_be_bytes());
        }
        for cell in cells {
            bytes.extend(cell.map_or(-1, |cell| cell.len() as i32).to_be_bytes());
            bytes.extend(cell.unwrap_or_default());
        }
        bytes
    };
    let seven = 7i32.to_be_bytes();
    vec![
        (Kind::Bool, vec![1]),
        (Kind::Int2, vec![0, 7]),
        (Kind::Int4, seven.to_vec()),
        (Kind::Int8, vec![0xFF; 8]),
        (Kind::Oid, vec![0xFF; 4]),
        (Kind::Float4, 1.5f32.to_be_bytes().to_vec()),
        (Kind::Float8, f64::NAN.to_be_bytes().to_vec()),
        (Kind::Decimal(12, 2), sent(&[12, 3400], 0, 0, 2)),
        (Kind::Number, sent(&[1], 40, 0x4000, 5)),
        (Kind::Digits, sent(&[1], -40, 0, 500)),
        (Kind::Text, "é \"quoted\"\n".into()),
        (Kind::Json, br#"{"a": 1.10}"#.to_vec()),
        (Kind::Jsonb, b"\x01[1, 2]".to_vec()),
        (Kind::Bytea, vec![0, 255]),
        (Kind::Date, 9000i32.to_be_bytes().to_vec()),
        (Kind::Time, 86_399_999_999i64.to_be_bytes().to_vec()),
        (
            Kind::TimeTz,
            [&1i64.to_be_bytes()[..], &(-7200i32).to_be_bytes()].concat(),
        ),
        (Kind::Timestamp(false), (-1i64).to_be_bytes().to_vec()),
        (Kind::Timestamp(true), 1i64.to_be_bytes().to_vec()),
        (
            Kind::Interval,
            [&1i64.to_be_bytes()[..], &seven, &seven].concat(),
        ),
        (Kind::Uuid, vec![0xAB; 16]),
        (Kind::Address, vec![2, 32, 0, 4, 10, 0, 0, 1]),
        (Kind::HardwareAddress, vec![8, 0, 0x2b, 1, 2, 3]),
        (Kind::BitString, vec![0, 0, 0, 3, 0b1010_0000]),
        (
            Kind::Array(Box::new(Kind::Int4)),
            array(23, &[2, 2], &[Some(&seven), None, None, Some(&seven)]),
        ),
        (
            Kind::Array(Box::new(Kind::Text)),
            array(25, &[1], &[Some(b"a\"b")]),
        ),
        (
            Kind::List(Box::new(Kind::Int4)),
            array(23, &[2], &[Some(&seven), None]),
        ),
    ]
}

fn schema(kinds: &[Kind]) -> Arc<Schema> {
    let fields = kinds.iter().enumerate();
    let fields: Vec<Field> = fields
        .map(|(place, kind)| kind.field(&format!("c{place}"), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// A whole stream of `rows` rows, in every third of which all is null.
fn stream(cells: &[Vec<u8>], rows: usize) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in 0..rows {
        out.extend((cells.len() as i16).to_be_bytes());
        for cell in cells {
            match row % 3 {
                2 => out.extend((-1i32).to_be_bytes()),
                _ => {
                    out.extend((cell.len() as i32).to_be_bytes());
                    out.extend(cell);
                }
            }
        }
    }
    out.extend((-1i16).to_be_bytes());
    out
}

fn decoder(kinds: &[Kind]) -> Rows {
    Rows::new(kinds.to_vec(), schema(kinds), OnBadValue::Reject)
}

fn decode(
    kinds: &[Kind],
    chunks: &[&[u8]],
) -> Result<(Option<RecordBatch>, Option<RecordBatch>), Broken> {
    let mut rows = decoder(kinds);
    for chunk in chunks {
        rows.push(chunk, MUCH)?;
    }
    Ok(rows.finish().unwrap())
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[test]
fn rows_may_be_cut_anywhere() {
    let (kinds, cells): (Vec<Kind>, Vec<Vec<u8>>) = kinds().into_iter().unzip();
    let bytes = stream(&cells, 3);
    let (whole, rejects) = decode(&kinds, &[&bytes]).unwrap();
    let whole = whole.unwrap();
    assert_eq!((whole.num_rows(), rejects), (3, None));
    for column in whole.columns() {
        assert_eq!((column.is_valid(0), column.is_null(2)), (true, true));
    }
    for cut in 0..bytes.len() {
        let (front, back) = bytes.split_at(cut);
        let (batch, _) = decode(&kinds, &[front, back]).unwrap();
        // NaN is not equal to itself: texts are.
        let shown = |batch: &RecordBatch| format!("{:?}", batch.columns());
        assert_eq!(shown(&batch.unwrap()), shown(&whole), "cut at {cut}");
    }
    let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(&kinds, &bytewise).unwrap().0.unwrap().num_rows(), 3);
}

#[test]
fn a_cut_stream_gives_the_rows_that_are_whole() {
    let (kinds, cells): (Vec<Kind>, Vec<Vec<u8>>) = kinds().into_iter().unzip();
    let bytes = stream(&cells, 3);
    for len in 0..bytes.len() {
        let mut rows = decoder(&kinds);
        rows.push(&bytes[..len], MUCH).unwrap();
        assert!(!rows.has_ended());
        let (batch, rejects) = rows.finish().unwrap();
        assert!(batch.map_or(0, |batch| batch.num_rows()) <= 3 && rejects.is_none());
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let (kinds, cells): (Vec<Kind>, Vec<Vec<u8>>) = kinds().into_iter().unzip();
    let bytes = stream(&cells, 2);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..20_000 {
        let mut mutated = bytes.clone();
        for _ in 0..=random.below(4) {
            let place = random.below(mutated.len());
            mutated[place] = match random.below(3) {
                0 => [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
                _ => random.below(256) as u8,
            };
        }
        mutated.truncate(1 + random.below(mutated.len()));
        let mut rows = decoder(&kinds);
        let middle = random.below(mutated.len());
        let ended = rows
            .push(&mutated[..middle], MUCH)
            .and_then(|_| rows.push(&mutated[middle..], MUCH));
        // Whatever became of it, what was decoded is a batch.
        rows.finish().unwrap();
        drop(ended);
    }
}

#[test]
fn a_value_of_any_length_is_none_or_one() {
    let mut random = Random(42);
    for (kind, cell) in kinds() {
        for _ in 0..2_000 {
            let mut made: Vec<u8> = (0..random.below(40))
                .map(|_| [0, 1, 3, 255, random.below(256) as u8][random.below(5)])
                .collect();
            if random.below(2) == 0 {
                made = cell.clone();
                if let Some(last) = made.len().checked_sub(1) {
                    let place = random.below(last + 1);
                    made[place] = random.below(256) as u8;
                }
            }
            let kinds = [kind.clone()];
            if let Ok((batch, rejects)) = decode(&kinds, &[&stream(&[made], 1)]) {
                let count = |batch: Option<RecordBatch>| batch.map_or(0, |batch| batch.num_rows());
                assert_eq!(count(batch) + count(rejects), 1, "{kind:?}");
            }
        }
    }
}

#[test]
fn lengths_of_arrays_are_not_believed() {
    let kinds = [
        Kind::Array(Box::new(Kind::Int4)),
        Kind::List(Box::new(Kind::Int4)),
    ];
    for lengths in [
        vec![i32::MAX],
        vec![i32::MAX; 6],
        vec![-1],
        vec![0, 1],
        vec![1; 7],
        vec![65_536, 65_536],
    ] {
        let mut cell = (lengths.len() as i32).to_be_bytes().to_vec();
        cell.extend([0; 8]);
        for len in lengths {
            cell.extend(len.to_be_bytes());
            cell.extend([0, 0, 0, 1]);
        }
        for kind in &kinds {
            assert!(decode(std::slice::from_ref(kind), &[&stream(&[cell.clone()], 1)]).is_err());
        }
    }
}

#[test]
fn what_is_no_copy_is_refused() {
    for bytes in [
        &b"PGCOPY\r\n"[..],
        b"\0\0\0\0",
        b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0",
    ] {
        assert!(decode(&[Kind::Int4], &[bytes]).is_err());
    }
    let mut twice = stream(&[vec![0; 4]], 1);
    twice.push(0);
    assert_eq!(
        decode(&[Kind::Int4], &[&twice]).unwrap_err(),
        Broken("bytes behind the end of the rows")
    );
    assert!(decode(&[Kind::Int4, Kind::Int4], &[&stream(&[vec![0; 4]], 1)]).is_err());
}

#[test]
fn bad_values_become_rejects_or_null() {
    let kinds = [Kind::Int4, Kind::Date, Kind::Text];
    let cells = [
        vec![0, 0, 0, 7],
        i32::MAX.to_be_bytes().to_vec(),
        b"a\"b".to_vec(),
    ];
    let bytes = stream(&cells, 3);
    let (batch, rejects) = decode(&kinds, &[&bytes]).unwrap();
    let rejects = rejects.unwrap();
    assert_eq!((batch.unwrap().num_rows(), rejects.num_rows()), (1, 2));
    let record = rejects
        .column(3)
        .as_any()
        .downcast_ref::<arrow_array::BinaryArray>()
        .unwrap();
    assert_eq!(record.value(0), br#"{"c0":7,"c1":"infinity","c2":"a\"b"}"#);

    let mut rows = Rows::new(kinds.to_vec(), schema(&kinds), OnBadValue::Null);
    rows.push(&bytes, MUCH).unwrap();
    let (batch, rejects) = rows.finish().unwrap();
    let batch = batch.unwrap();
    assert_eq!((batch.num_rows(), rejects), (3, None));
    assert!(batch.column(1).is_null(0) && batch.column(0).is_valid(0));
}

#[test]
fn a_batch_ends_at_its_limits_and_goes_on() {
    let bytes = stream(&[vec![0, 0, 0, 7]], 10);
    let mut rows = decoder(&[Kind::Int4]);
    let limits = Limits { rows: 4, ..MUCH };
    let mut sizes = Vec::new();
    let mut full = rows.push(&bytes, limits).unwrap();
    while full {
        sizes.push(rows.finish().unwrap().0.unwrap().num_rows());
        full = rows.resume(limits).unwrap();
    }
    sizes.push(rows.finish().unwrap().0.unwrap().num_rows());
    assert_eq!((sizes, rows.has_ended()), (vec![4, 4, 2], true));
}

#[test]
fn equal_values_of_the_cursor_stay_together_where_they_can() {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for value in [1i32, 2, 2, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5] {
        out.extend([0, 1, 0, 0, 0, 4]);
        out.extend(value.to_be_bytes());
    }
    out.extend((-1i16).to_be_bytes());
    let mut rows = decoder(&[Kind::Int4]);
    rows.follow(0, true);
    let limits = Limits { rows: 4, ..MUCH };
    let mut seen = Vec::new();
    let mut full = rows.push(&out, limits).unwrap();
    loop {
        let state = rows
            .is_between_groups()
            .then(|| rows.last_cursor().unwrap());
        seen.push((rows.finish().unwrap().0.unwrap().num_rows(), state));
        if !full {
            break;
        }
        full = rows.resume(limits).unwrap();
    }
    let state = |value: &str| Some(value.to_owned());
    let expected = [(4, state("2")), (4, None), (4, None), (3, state("5"))];
    assert_eq!(seen, expected);
}
