//! PostgreSQL's types: what a column of one becomes, and the expression that gives it in that form.

use std::collections::HashMap;

use dativo_sdk::Error;

use super::config::{ArraysAs, NumericAs};
use super::connection::Connection;
use super::kind::Kind;

/// A type beyond those that are built in.
#[derive(Debug, Clone)]
struct TypeFacts {
    /// `d` a domain, `e` an enum…
    class: u8,
    /// Of the domain's type, and its precision.
    base: u32,
    base_modifier: i32,
    /// Of an array's elements; 0 where it is no array.
    element: u32,
}

/// The database's types, and what the user wants of them.
#[derive(Debug, Default)]
pub(super) struct Types {
    known: HashMap<u32, TypeFacts>,
    numeric: NumericAs,
    arrays: ArraysAs,
}

/// How a column is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub kind: Kind,
    /// What the server sends of it.
    pub form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The column itself.
    Itself,
    /// What its cast to text gives.
    Text,
    /// What `to_json` makes of it.
    Json,
}

impl Form {
    /// The expression for a column of this quoted name.
    pub(super) fn expression(self, quoted: &str) -> String {
        match self {
            Self::Itself => quoted.to_owned(),
            Self::Text => format!("CAST({quoted} AS pg_catalog.text)"),
            Self::Json => format!("pg_catalog.to_json({quoted})"),
        }
    }
}

const NUMERIC: u32 = 1700;
/// More digits than this no Arrow type has that targets know.
const MOST_DIGITS: i32 = 38;

impl Types {
    /// Asks for all types that are neither built-in scalars nor rows of tables.
    pub(super) fn load(
        connection: &mut Connection,
        numeric: NumericAs,
        arrays: ArraysAs,
    ) -> Result<Self, Error> {
        let sql = "SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, CASE WHEN t.typlen = -1 AND t.typcategory = 'A' THEN t.typelem ELSE 0 END \
            FROM pg_catalog.pg_type t WHERE t.typtype IN ('d', 'e') OR t.typtype = 'b' AND t.typcategory = 'A'";
        let mut known = HashMap::new();
        for row in connection.rows(sql, "ask for the types")? {
            let number = |place: usize| {
                row.get(place)
                    .and_then(Option::as_deref)
                    .and_then(|text| text.parse::<i64>().ok())
            };
            let class = row
                .get(1)
                .and_then(Option::as_deref)
                .and_then(|text| text.bytes().next());
            if let (Some(oid), Some(class)) = (number(0), class) {
                let facts = TypeFacts {
                    class,
                    base: number(2).unwrap_or(0) as u32,
                    base_modifier: number(3).unwrap_or(-1) as i32,
                    element: number(4).unwrap_or(0) as u32,
                };
                known.insert(oid as u32, facts);
            }
        }
        Ok(Self {
            known,
            numeric,
            arrays,
        })
    }

    /// How a column of this type is read.
    pub(super) fn reading(&self, oid: u32, modifier: i32) -> Reading {
        let (oid, modifier) = self.base(oid, modifier);
        if let Some(kind) = self.scalar(oid, modifier) {
            return Reading {
                kind,
                form: Form::Itself,
            };
        }
        // Lists of numbers, which are written without braces.
        let is_vector = matches!(oid, 22 | 30);
        let element = self.known.get(&oid).map_or(0, |facts| facts.element);
        if element == 0 || is_vector {
            return Reading {
                kind: Kind::Text,
                form: Form::Text,
            };
        }
        let (element, modifier) = self.base(element, modifier);
        match (self.scalar(element, modifier), self.arrays) {
            (Some(kind), ArraysAs::Json) => Reading {
                kind: Kind::Array(Box::new(kind)),
                form: Form::Itself,
            },
            (Some(kind), ArraysAs::List) => Reading {
                kind: Kind::List(Box::new(kind)),
                form: Form::Itself,
            },
            (None, _) => Reading {
                kind: Kind::Json,
                form: Form::Json,
            },
        }
    }

    /// The type that a domain is made of, and its precision.
    fn base(&self, oid: u32, modifier: i32) -> (u32, i32) {
        let (mut oid, mut modifier) = (oid, modifier);
        // Domains are made of others that were there before: there is no circle, unless somebody wrote to the catalog.
        for _ in 0..64 {
            match self.known.get(&oid) {
                Some(facts) if facts.class == b'd' => {
                    oid = facts.base;
                    if facts.base_modifier != -1 {
                        modifier = facts.base_modifier;
                    }
                }
                _ => break,
            }
        }
        (oid, modifier)
    }

    /// What values of a type become that have a binary form which is known here; by the numbers of `pg_type.dat`.
    fn scalar(&self, oid: u32, modifier: i32) -> Option<Kind> {
        Some(match oid {
            16 => Kind::Bool,
            17 => Kind::Bytea,
            20 => Kind::Int8,
            21 => Kind::Int2,
            23 => Kind::Int4,
            26 => Kind::Oid,
            // name, text, bpchar, varchar, unknown, xml
            19 | 25 | 1042 | 1043 | 705 | 142 => Kind::Text,
            114 => Kind::Json,
            3802 => Kind::Jsonb,
            700 => Kind::Float4,
            701 => Kind::Float8,
            NUMERIC => self.numeric(modifier),
            1082 => Kind::Date,
            1083 => Kind::Time,
            1266 => Kind::TimeTz,
            1114 => Kind::Timestamp(false),
            1184 => Kind::Timestamp(true),
            1186 => Kind::Interval,
            2950 => Kind::Uuid,
            // inet, cidr; macaddr, macaddr8; bit, varbit
            869 | 650 => Kind::Address,
            829 | 774 => Kind::HardwareAddress,
            1560 | 1562 => Kind::BitString,
            _ if self.known.get(&oid)?.class == b'e' => Kind::Text,
            _ => return None,
        })
    }

    fn numeric(&self, modifier: i32) -> Kind {
        let exact =
            declared(modifier).filter(|(precision, _)| (1..=MOST_DIGITS).contains(precision));
        match (exact, self.numeric) {
            (Some((precision, scale)), _) => Kind::Decimal(precision as u8, scale as i8),
            (None, NumericAs::Json) => Kind::Number,
            (None, NumericAs::String) => Kind::Digits,
            (None, NumericAs::Decimal) => Kind::Decimal(MOST_DIGITS as u8, 9),
        }
    }
}

/// Precision and scale of a decimal that holds all values of `numeric(p, s)`.
///
/// Since PostgreSQL 15 the scale may be negative (the last digits are zeros) or greater than the precision (the first are).
fn declared(modifier: i32) -> Option<(i32, i32)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    let precision = packed >> 16 & 0xFFFF;
    // Eleven bits with a sign.
    let scale = ((packed & 0x7FF) ^ 1024) - 1024;
    Some(match scale {
        ..0 => (precision - scale, 0),
        _ => (precision.max(scale), scale),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Types {
        let facts = |class, base, base_modifier, element| TypeFacts {
            class,
            base,
            base_modifier,
            element,
        };
        let known = HashMap::from([
            (1007, facts(b'b', 0, -1, 23)),
            (1231, facts(b'b', 0, -1, NUMERIC)),
            (22, facts(b'b', 0, -1, 21)),
            (16_000, facts(b'e', 0, -1, 0)),
            (16_001, facts(b'd', 16_002, -1, 0)),
            (16_002, facts(b'd', NUMERIC, modifier(10, 2), 0)),
            (16_003, facts(b'b', 0, -1, 16_001)),
            (16_004, facts(b'b', 0, -1, 600)),
        ]);
        Types {
            known,
            ..Types::default()
        }
    }

    fn modifier(precision: i32, scale: i32) -> i32 {
        (precision << 16 | scale & 0x7FF) + 4
    }

    #[test]
    fn domains_are_what_they_are_made_of() {
        let types = types();
        assert_eq!(types.reading(16_001, -1).kind, Kind::Decimal(10, 2));
        assert_eq!(
            types.reading(16_003, -1).kind,
            Kind::Array(Box::new(Kind::Decimal(10, 2)))
        );
        assert_eq!(
            types.reading(16_000, -1),
            Reading {
                kind: Kind::Text,
                form: Form::Itself
            }
        );
    }

    #[test]
    fn what_is_not_known_is_text() {
        let types = types();
        for oid in [600, 22, 790, 99_999] {
            assert_eq!(
                types.reading(oid, -1),
                Reading {
                    kind: Kind::Text,
                    form: Form::Text
                }
            );
        }
        assert_eq!(
            types.reading(16_004, -1),
            Reading {
                kind: Kind::Json,
                form: Form::Json
            }
        );
    }

    #[test]
    fn every_declared_numeric_has_a_decimal_or_all_its_digits() {
        let types = types();
        for (precision, scale, kind) in [
            (12, 2, Kind::Decimal(12, 2)),
            (38, 38, Kind::Decimal(38, 38)),
            (39, 2, Kind::Number),
            (5, -2, Kind::Decimal(7, 0)),
            (3, 5, Kind::Decimal(5, 5)),
            (38, -1, Kind::Number),
            (1000, 1000, Kind::Number),
        ] {
            assert_eq!(
                types.reading(NUMERIC, modifier(precision, scale)).kind,
                kind,
                "numeric({precision}, {scale})"
            );
        }
        assert_eq!(types.reading(NUMERIC, -1).kind, Kind::Number);
        assert_eq!(
            types.reading(1231, modifier(5, 1)).kind,
            Kind::Array(Box::new(Kind::Decimal(5, 1)))
        );
    }
}
