//! What is asked of the server to read a stream, and the parts that a table is read in.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use dativo_sdk::{Error, Method, Partition, SelectedStream, State, StreamId};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use serde::{Deserialize, Serialize};

use super::config::Boundary;
use super::connection::Connection;
use super::kind::Kind;
use super::relations::{ColumnFacts, Relation};

/// How far a stream has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The column that it is read by.
    pub cursor: String,
    /// Its last value, as text that the server reads.
    pub value: String,
    /// The column's type, as SQL names it.
    #[serde(rename = "type", default)]
    pub type_name: String,
}

/// One stream to read: a COPY, or one after the other.
#[derive(Debug)]
pub(super) struct Task {
    pub stream: StreamId,
    pub schema: SchemaRef,
    pub kinds: Vec<Kind>,
    pub copies: Vec<Copy>,
    pub by: Option<By>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub sql: String,
    /// Whether its rows are in the cursor's order.
    pub ordered: bool,
}

/// The column that a stream is read by.
#[derive(Debug, Clone)]
pub(super) struct By {
    pub column: usize,
    pub name: String,
    pub type_name: String,
    /// A later run begins behind its last value, not with it.
    pub exclusive: bool,
    /// No two rows have the same value.
    pub unique: bool,
}

/// A part of a stream, for another reader.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Token {
    pub snapshot: String,
    pub name: String,
    pub namespace: Option<String>,
    /// Pages from the first to before the second; to the end without a second.
    pub pages: Option<(u64, Option<u64>)>,
    /// Where the stream was when the parts were made.
    pub position: Option<Position>,
}

/// The columns of a relation that are selected, in its order.
fn selected<'a>(
    relation: &'a Relation,
    selection: &SelectedStream,
) -> Result<Vec<&'a ColumnFacts>, Error> {
    for name in selection.fields.iter().flatten().chain(&selection.cursor) {
        if !relation.columns.iter().any(|column| column.name == *name) {
            let message = format!(
                "stream `{}` has no column `{name}` that can be read",
                relation.id
            );
            return Err(Error::connector(message)
                .with_hint("it was dropped or renamed since the streams were asked for, or SELECT on it was revoked")
                .with_fact("stream", relation.id.to_string()));
        }
    }
    let wants = |name: &String| {
        selection.wants(name)
            || relation.primary_key.contains(name)
            || selection.cursor.as_ref() == Some(name)
    };
    Ok(relation
        .columns
        .iter()
        .filter(|column| wants(&column.name))
        .collect())
}

/// The Arrow schema of these columns.
pub(super) fn schema<'a>(columns: impl IntoIterator<Item = &'a ColumnFacts>) -> SchemaRef {
    let fields = columns
        .into_iter()
        .map(|column| column.reading.kind.field(&column.name, column.nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What to ask for the stream's rows from this position on, within these pages.
pub(super) fn task(
    relation: &Relation,
    selection: &SelectedStream,
    boundary: Boundary,
    position: Option<&Position>,
    pages: Option<(u64, Option<u64>)>,
) -> Result<Task, Error> {
    let columns = selected(relation, selection)?;
    let by = match selection.method {
        Method::Incremental => Some(by(relation, selection, &columns, boundary)?),
        Method::FullRefresh => None,
    };
    let list: Vec<String> = columns
        .iter()
        .map(|column| {
            column
                .reading
                .form
                .expression(&format!("source.{}", escape_identifier(&column.name)))
        })
        .collect();
    let all = format!(
        "SELECT {} FROM {} AS source",
        list.join(", "),
        relation.source
    );
    let copy = |conditions: &[String], order: Option<&str>| {
        let mut sql = all.clone();
        if !conditions.is_empty() {
            sql += &format!(" WHERE {}", conditions.join(" AND "));
        }
        if let Some(column) = order {
            sql += &format!(" ORDER BY {column}");
        }
        Copy {
            sql: format!("COPY ({sql}) TO STDOUT (FORMAT binary)"),
            ordered: order.is_some(),
        }
    };
    let within: Vec<String> = pages.map(page_range).into_iter().flatten().collect();
    let known = by
        .as_ref()
        .and_then(|by| position.filter(|position| position.cursor == by.name));
    let copies = match (&by, known) {
        (Some(by), Some(known)) => {
            let column = format!("source.{}", escape_identifier(&by.name));
            let comparison = if by.exclusive { ">" } else { ">=" };
            let behind = format!("{column} {comparison} {}", escape_literal(&known.value));
            vec![copy(&[behind], Some(&column))]
        }
        // A first load in parts has no order, and ends with what is the state of all.
        (Some(_), None) if !within.is_empty() => vec![copy(&within, None)],
        (Some(by), None) => {
            let column = format!("source.{}", escape_identifier(&by.name));
            match columns[by.column].nullable {
                true => vec![
                    copy(&[format!("{column} IS NULL")], None),
                    copy(&[format!("{column} IS NOT NULL")], Some(&column)),
                ],
                false => vec![copy(&[], Some(&column))],
            }
        }
        (None, _) => vec![copy(&within, None)],
    };
    Ok(Task {
        stream: relation.id.clone(),
        schema: schema(columns.iter().copied()),
        kinds: columns
            .iter()
            .map(|column| column.reading.kind.clone())
            .collect(),
        copies,
        by,
    })
}

/// Of a heap's rows those in these pages. The last part has no end: pages may have come since they were counted.
fn page_range((from, to): (u64, Option<u64>)) -> Vec<String> {
    let mut conditions = Vec::new();
    if from > 0 {
        conditions.push(format!("source.ctid >= '({from},0)'"));
    }
    if let Some(to) = to {
        conditions.push(format!("source.ctid < '({to},0)'"));
    }
    conditions
}

fn by(
    relation: &Relation,
    selection: &SelectedStream,
    columns: &[&ColumnFacts],
    boundary: Boundary,
) -> Result<By, Error> {
    let name = selection.cursor.as_ref().or(relation.cursor.as_ref());
    let found = name.and_then(|name| columns.iter().position(|column| column.name == *name));
    let Some(column) = found else {
        return Err(Error::config(format!(
            "stream `{}` has no cursor to be read incrementally by",
            relation.id
        ))
        .with_hint("name a column that only grows as `cursor`"));
    };
    let facts = columns[column];
    if !facts.reading.kind.is_ordered() {
        let message = format!(
            "stream `{}`: `{}` is of type {}, which is no cursor",
            relation.id, facts.name, facts.type_name
        );
        return Err(
            Error::config(message).with_hint("name a column of numbers, dates, timestamps or text")
        );
    }
    let unique = relation.unique.contains(&facts.name);
    Ok(By {
        column,
        name: facts.name.clone(),
        type_name: facts.type_name.clone(),
        exclusive: match boundary {
            Boundary::Auto => unique,
            Boundary::Inclusive => false,
            Boundary::Exclusive => true,
        },
        unique,
    })
}

/// The last finite value of the cursor, in the snapshot of the session.
fn last_position(
    connection: &mut Connection,
    relation: &Relation,
    task: &Task,
    by: &By,
) -> Result<Option<Position>, Error> {
    let column = format!("source.{}", escape_identifier(&by.name));
    let finite = match task.kinds[by.column] {
        Kind::Date | Kind::Timestamp(_) => format!("pg_catalog.isfinite({column})"),
        Kind::Float4 | Kind::Float8 => format!("{column} < 'Infinity'"),
        // Before PostgreSQL 14 there is no infinity.
        Kind::Decimal(..) | Kind::Number | Kind::Digits => {
            format!("CAST({column} AS pg_catalog.text) NOT IN ('NaN', 'Infinity', '-Infinity')")
        }
        _ => format!("{column} IS NOT NULL"),
    };
    let sql = format!(
        "SELECT CAST({column} AS pg_catalog.text) FROM {} AS source WHERE {finite} ORDER BY {column} DESC LIMIT 1",
        relation.source
    );
    let rows = connection.rows(
        &sql,
        &format!("ask for the last `{}` of stream `{}`", by.name, relation.id),
    )?;
    let value = rows.into_iter().flatten().flatten().next();
    Ok(value.map(|value| Position {
        cursor: by.name.clone(),
        value,
        type_name: by.type_name.clone(),
    }))
}

/// Parts of a stream as `task` reads it whole, in the snapshot of the session.
pub(super) fn parts(
    connection: &mut Connection,
    relation: &Relation,
    task: &Task,
    position: Option<&Position>,
    snapshot: &str,
    (count, target_bytes): (usize, usize),
) -> Result<Vec<Partition>, Error> {
    // Rows behind a position are found by an index rather than by their place.
    let cuts = match position {
        None if relation.has_pages => cuts(connection, relation, count, target_bytes)?,
        _ => Vec::new(),
    };
    let end = match &task.by {
        Some(by) => last_position(connection, relation, task, by)?,
        None => None,
    };
    let mut parts = Vec::with_capacity(cuts.len() + 1);
    for place in 0..=cuts.len() {
        let from = if place == 0 { 0 } else { cuts[place - 1] };
        let token = Token {
            snapshot: snapshot.to_owned(),
            name: relation.id.name().to_owned(),
            namespace: relation.id.namespace().map(str::to_owned),
            pages: (!cuts.is_empty()).then(|| (from, cuts.get(place).copied())),
            position: position.cloned(),
        };
        let token =
            serde_json::to_vec(&token).map_err(|error| Error::connector(error.to_string()))?;
        let state = match (&end, place == cuts.len()) {
            (Some(position), true) => Some(State::of(relation.id.clone(), position)?),
            _ => None,
        };
        parts.push(Partition { token, state });
    }
    Ok(parts)
}

/// A table of fewer bytes is not worth a connection more.
const WORTH_DIVIDING: u64 = 8 << 20;
const MOST_PARTS: u64 = 10_000;

/// Pages at which to divide a table; none to leave it whole.
fn cuts(
    connection: &mut Connection,
    relation: &Relation,
    count: usize,
    target_bytes: usize,
) -> Result<Vec<u64>, Error> {
    let sql = format!(
        "WITH RECURSIVE tree(oid) AS (SELECT CAST({} AS pg_catalog.oid) UNION ALL \
           SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid) \
         SELECT c.relkind, pg_catalog.pg_relation_size(c.oid) / CAST(pg_catalog.current_setting('block_size') AS int8), \
           pg_catalog.pg_table_size(c.oid), CAST(pg_catalog.current_setting('server_version_num') AS int4) >= 140000 \
         FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid",
        relation.oid
    );
    let (mut pages, mut bytes) = (Vec::new(), 0);
    for row in connection.rows(
        &sql,
        &format!("ask for the size of stream `{}`", relation.id),
    )? {
        let text = |place: usize| row.get(place).and_then(Option::as_deref).unwrap_or("");
        // Foreign partitions have no pages, and before version 14 each part would read the whole table.
        if text(0) == "f" || text(3) != "t" {
            return Ok(Vec::new());
        }
        pages.push(text(1).parse().unwrap_or(0));
        bytes += text(2).parse::<u64>().unwrap_or(0);
    }
    if bytes < WORTH_DIVIDING {
        return Ok(Vec::new());
    }
    // As many for each reader, so that all end at about the same time.
    let wanted = bytes
        .div_ceil(target_bytes.max(1) as u64)
        .next_multiple_of(count.max(1) as u64)
        .min(MOST_PARTS);
    Ok(divide(&pages, wanted))
}

/// Pages at which to divide tables that are read side by side, so that parts have about as many pages.
fn divide(pages: &[u64], parts: u64) -> Vec<u64> {
    let up_to = |page: u64| pages.iter().map(|pages| (*pages).min(page)).sum::<u64>();
    let last = pages.iter().copied().max().unwrap_or(0);
    let total = up_to(last);
    let mut cuts: Vec<u64> = (1..parts)
        .map(|part| {
            let wanted = (u128::from(total) * u128::from(part) / u128::from(parts)) as u64;
            let (mut low, mut high) = (0, last);
            while low < high {
                let middle = low + (high - low) / 2;
                if up_to(middle) < wanted {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            low
        })
        .filter(|page| (1..last).contains(page))
        .collect();
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_about_as_many_pages() {
        assert_eq!(divide(&[100], 4), [25, 50, 75]);
        assert_eq!(divide(&[0, 100, 100], 4), [25, 50, 75]);
        // The first 10 pages are there twice.
        assert_eq!(divide(&[10, 90], 2), [40]);
        assert_eq!(divide(&[3], 10), [1, 2]);
        assert!(
            divide(&[], 4).is_empty() && divide(&[0], 4).is_empty() && divide(&[1], 4).is_empty()
        );
    }

    #[test]
    fn parts_begin_where_the_one_before_ends() {
        assert_eq!(page_range((0, Some(5))), ["source.ctid < '(5,0)'"]);
        assert_eq!(page_range((5, None)), ["source.ctid >= '(5,0)'"]);
        assert!(page_range((0, None)).is_empty());
    }
}
