//! What there is to read: tables, views and the like, from the catalog; and the user's queries.

use std::collections::HashMap;

use dativo_sdk::{Error, StreamId};
use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::config::{PostgresConfig, Query};
use super::connection::{Connection, TextRow};
use super::types::{Reading, Types};

/// Something that rows can be read from.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub id: StreamId,
    /// What stands behind FROM, without a name for it.
    pub source: String,
    pub columns: Vec<ColumnFacts>,
    pub primary_key: Vec<String>,
    /// Columns that no two rows have the same value of.
    pub unique: Vec<String>,
    pub cursor: Option<String>,
    pub comment: Option<String>,
    /// As the planner last counted; `None` where it never did.
    pub rows: Option<u64>,
    /// Whether its rows have places in pages of files, by which it can be divided.
    pub has_pages: bool,
    /// Its number in the catalog; 0 for a query.
    pub oid: u32,
}

/// A column of it.
#[derive(Debug, Clone)]
pub(super) struct ColumnFacts {
    pub name: String,
    pub reading: Reading,
    pub nullable: bool,
    pub comment: Option<String>,
    /// As SQL names it.
    pub type_name: String,
}

/// Which relations are meant.
#[derive(Debug, Clone)]
pub(super) enum Wanted<'a> {
    /// All that the configuration offers.
    Offered,
    /// These.
    Only(&'a [&'a StreamId]),
}

/// Relations in the order of their names, and queries behind them.
pub(super) fn list(
    connection: &mut Connection,
    config: &PostgresConfig,
    types: &Types,
    wanted: &Wanted<'_>,
) -> Result<Vec<Relation>, Error> {
    let condition = match wanted {
        Wanted::Offered => offered(config)?,
        Wanted::Only(streams) => only(streams),
    };
    let mut found: Vec<Relation> = Vec::new();
    let mut last = 0;
    for row in connection.rows(&columns_sql(&condition), "ask for the tables")? {
        let facts = CatalogRow(&row);
        let oid = facts.number(2) as u32;
        if facts.flag(6) {
            // Neither the table nor one of its columns may be read.
            if last != oid {
                log::info!(
                    "`{}.{}` is left out: the user may not read it",
                    facts.text(0),
                    facts.text(1)
                );
            }
            last = oid;
            continue;
        }
        if last != oid {
            found.push(facts.relation());
        }
        last = oid;
        if let (Some(relation), false) = (found.last_mut(), facts.text(7).is_empty()) {
            relation.columns.push(facts.column(types));
        }
    }
    add_keys(connection, &mut found)?;
    for (name, query) in &config.queries {
        let id = StreamId::new(name.clone(), None);
        if matches!(wanted, Wanted::Offered)
            || matches!(wanted, Wanted::Only(streams) if streams.contains(&&id))
        {
            found.push(of_query(connection, types, id, query)?);
        }
    }
    Ok(found)
}

/// A row for each column: of relations of the kinds that can be read, and of partitions only through what they are parts of.
fn columns_sql(condition: &str) -> String {
    format!(
        "SELECT n.nspname, c.relname, c.oid, c.relkind, c.reltuples, pg_catalog.obj_description(c.oid, 'pg_class'), \
           NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') OR NOT pg_catalog.has_any_column_privilege(c.oid, 'SELECT'), \
           a.attname, a.atttypid, a.atttypmod, a.attnotnull, pg_catalog.col_description(c.oid, a.attnum), \
           pg_catalog.format_type(a.atttypid, a.atttypmod) \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
           AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
           AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT') \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {condition} \
         ORDER BY n.nspname, c.relname, a.attnum"
    )
}

/// Columns of [`columns_sql`].
struct CatalogRow<'a>(&'a TextRow);

impl CatalogRow<'_> {
    fn optional(&self, place: usize) -> Option<&str> {
        self.0.get(place).and_then(Option::as_deref)
    }

    fn text(&self, place: usize) -> &str {
        self.optional(place).unwrap_or("")
    }

    fn number(&self, place: usize) -> i64 {
        self.text(place).parse().unwrap_or(0)
    }

    fn flag(&self, place: usize) -> bool {
        self.text(place) == "t"
    }

    fn relation(&self) -> Relation {
        let (schema, name) = (self.text(0), self.text(1));
        // -1 where nobody has counted yet; before PostgreSQL 14, 0.
        let rows = self.text(4).parse::<f64>().ok().filter(|rows| *rows > 0.0);
        Relation {
            id: StreamId::new(name, Some(schema)),
            source: format!("{}.{}", escape_identifier(schema), escape_identifier(name)),
            columns: Vec::new(),
            primary_key: Vec::new(),
            unique: Vec::new(),
            cursor: None,
            comment: self.optional(5).map(str::to_owned),
            rows: rows.map(|rows| rows as u64),
            has_pages: matches!(self.text(3), "r" | "p" | "m"),
            oid: self.number(2) as u32,
        }
    }

    fn column(&self, types: &Types) -> ColumnFacts {
        ColumnFacts {
            name: self.text(7).to_owned(),
            reading: types.reading(self.number(8) as u32, self.number(9) as i32),
            nullable: !self.flag(10),
            comment: self.optional(11).map(str::to_owned),
            type_name: self.text(12).to_owned(),
        }
    }
}

/// The schemas and tables that the user names; none of the system's.
fn offered(config: &PostgresConfig) -> Result<String, Error> {
    let mut conditions = vec![
        "NOT c.relispartition".to_owned(),
        "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'".to_owned(),
    ];
    if let Some(schemas) = &config.schemas {
        conditions.push(any("n.nspname", schemas.iter().map(String::as_str)));
    }
    if !config.exclude_schemas.is_empty() {
        conditions.push(format!(
            "NOT {}",
            any(
                "n.nspname",
                config.exclude_schemas.iter().map(String::as_str)
            )
        ));
    }
    if let Some(tables) = &config.tables {
        let each = tables.iter().map(|table| match table.split_once('.') {
            Some((schema, table)) => {
                format!(
                    "({} AND {})",
                    any("n.nspname", [schema]),
                    any("c.relname", [table])
                )
            }
            None => any("c.relname", [table.as_str()]),
        });
        conditions.push(either(each));
    }
    match conditions.iter().any(|condition| condition.contains('\0')) {
        true => Err(Error::config("a name with a character 0 in it")),
        false => Ok(conditions.join(" AND ")),
    }
}

/// Whether a name is one of these; `*` in them stands for any letters.
fn any<'a>(column: &str, patterns: impl IntoIterator<Item = &'a str>) -> String {
    either(patterns.into_iter().map(|pattern| {
        let escaped = pattern
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_")
            .replace('*', "%");
        format!("{column} LIKE {}", escape_literal(&escaped))
    }))
}

fn either(conditions: impl Iterator<Item = String>) -> String {
    let conditions: Vec<String> = conditions.collect();
    match conditions.is_empty() {
        true => "false".to_owned(),
        false => format!("({})", conditions.join(" OR ")),
    }
}

fn only(streams: &[&StreamId]) -> String {
    either(streams.iter().filter_map(|stream| {
        let schema = stream.namespace()?;
        Some(format!(
            "(n.nspname = {} AND c.relname = {})",
            escape_literal(schema),
            escape_literal(stream.name())
        ))
    }))
}

/// Primary keys, and columns that are unique by themselves.
fn add_keys(connection: &mut Connection, found: &mut [Relation]) -> Result<(), Error> {
    if found.is_empty() {
        return Ok(());
    }
    let oids: Vec<String> = found
        .iter()
        .map(|relation| relation.oid.to_string())
        .collect();
    let sql = format!(
        "SELECT i.indrelid, i.indisprimary, a.attname, i.indnatts \
         FROM pg_catalog.pg_index i CROSS JOIN LATERAL pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k(attnum, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indrelid IN ({}) \
         ORDER BY i.indexrelid, k.place",
        oids.join(", ")
    );
    let mut places: HashMap<u32, usize> = HashMap::new();
    for (place, relation) in found.iter().enumerate() {
        places.insert(relation.oid, place);
    }
    for row in connection.rows(&sql, "ask for the keys")? {
        let facts = CatalogRow(&row);
        let Some(relation) = places
            .get(&(facts.number(0) as u32))
            .and_then(|place| found.get_mut(*place))
        else {
            continue;
        };
        if facts.flag(1) {
            relation.primary_key.push(facts.text(2).to_owned());
        }
        if facts.number(3) == 1 {
            relation.unique.push(facts.text(2).to_owned());
        }
    }
    for relation in found {
        // A key of which a part may not be read is none that rows can be told apart by.
        let columns = &relation.columns;
        if !relation
            .primary_key
            .iter()
            .all(|key| columns.iter().any(|column| column.name == *key))
        {
            relation.primary_key.clear();
        }
    }
    Ok(())
}

fn of_query(
    connection: &mut Connection,
    types: &Types,
    id: StreamId,
    query: &Query,
) -> Result<Relation, Error> {
    let sql = query.sql.trim().trim_end_matches(';');
    // On lines of its own, so that a comment at its end ends there.
    let source = format!("(\n{sql}\n)");
    let what = format!("ask for the columns of query `{}`", id.name());
    let (described, _) =
        connection.query(&format!("SELECT * FROM {source} AS source LIMIT 0"), &what)?;
    let mut columns: Vec<ColumnFacts> = Vec::with_capacity(described.len());
    let mut oids = Vec::with_capacity(described.len());
    for column in described {
        if columns.iter().any(|known| known.name == column.name) {
            let message = format!("query `{}` has two columns `{}`", id.name(), column.name);
            return Err(Error::config(message).with_hint("name them differently with AS"));
        }
        columns.push(ColumnFacts {
            reading: types.reading(column.type_oid, column.type_modifier),
            name: column.name,
            nullable: true,
            comment: None,
            type_name: String::new(),
        });
        oids.push(column.type_oid);
    }
    name_types(connection, &oids, &mut columns)?;
    for named in query.key.iter().chain(&query.cursor) {
        if !columns.iter().any(|column| column.name == *named) {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let message = format!("query `{}` has no column `{named}`", id.name());
            return Err(
                Error::config(message).with_hint(format!("its columns: {}", names.join(", ")))
            );
        }
    }
    Ok(Relation {
        id,
        source,
        columns,
        primary_key: query.key.clone(),
        unique: match query.key.as_slice() {
            [only] => vec![only.clone()],
            _ => Vec::new(),
        },
        cursor: query.cursor.clone(),
        comment: None,
        rows: None,
        has_pages: false,
        oid: 0,
    })
}

fn name_types(
    connection: &mut Connection,
    oids: &[u32],
    columns: &mut [ColumnFacts],
) -> Result<(), Error> {
    let names: Vec<String> = oids
        .iter()
        .map(|oid| format!("pg_catalog.format_type({oid}, NULL)"))
        .collect();
    let rows = connection.rows(
        &format!("SELECT {}", names.join(", ")),
        "ask for the names of types",
    )?;
    for (column, name) in columns.iter_mut().zip(rows.into_iter().flatten()) {
        column.type_name = name.unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_literal_but_for_their_stars() {
        assert_eq!(
            any("n", ["a_b*", "100%"]),
            r"(n LIKE  E'a\\_b%' OR n LIKE  E'100\\%')"
        );
        assert_eq!(any("n", ["o'r"]), "(n LIKE 'o''r')");
    }

    #[test]
    fn nothing_wanted_is_nothing_found() {
        assert_eq!(only(&[]), "false");
        assert!(
            offered(&PostgresConfig {
                schemas: Some(vec![]),
                ..PostgresConfig::default()
            })
            .unwrap()
            .contains("false")
        );
    }
}
