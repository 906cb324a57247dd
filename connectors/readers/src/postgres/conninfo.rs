//! Connection strings as libpq takes them: a URL, or pairs of `key=value`.

use dativo_sdk::Error;

/// The pairs of a connection string, in its order. The URL's host, port, user, password and database have libpq's names.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, Error> {
    let rest = text
        .strip_prefix("postgresql://")
        .or_else(|| text.strip_prefix("postgres://"));
    match rest {
        Some(rest) => url(rest),
        None => pairs(text),
    }
}

fn wrong(what: &str) -> Error {
    // The string itself may hold a password.
    Error::config(format!("`url`: {what}"))
        .with_hint("write `postgresql://user:password@host:5432/database?sslmode=require`, or `host=… port=… dbname=… user=…`")
}

fn url(rest: &str) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut add = |key: &str, value: &str| -> Result<(), Error> {
        if !value.is_empty() {
            found.push((key.to_owned(), decoded(value)?));
        }
        Ok(())
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    add("user", user)?;
    add("password", password)?;
    add("dbname", database)?;
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[') {
            Some(address) => {
                let (address, port) = address
                    .split_once(']')
                    .ok_or_else(|| wrong("`[` without `]`"))?;
                (address, port.strip_prefix(':').unwrap_or(""))
            }
            None => host.split_once(':').unwrap_or((host, "")),
        };
        names.push(name);
        ports.push(port);
    }
    add("host", &names.join(","))?;
    if ports.iter().any(|port| !port.is_empty()) {
        add("port", &ports.join(","))?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| wrong("a parameter without `=`"))?;
        add(key, value)?;
    }
    Ok(found)
}

fn decoded(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = rest.split_at_checked(2).and_then(|(digits, behind)| {
            rest = behind;
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        });
        bytes.push(digits.ok_or_else(|| wrong("`%` without two hexadecimal digits"))?);
    }
    String::from_utf8(bytes).map_err(|_| wrong("text that is not UTF-8"))
}

fn pairs(text: &str) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest
            .split_once('=')
            .ok_or_else(|| wrong("neither a URL nor pairs of `key=value`"))?;
        let mut value = String::new();
        let mut letters = behind.trim_start().chars();
        let quoted = letters.as_str().starts_with('\'');
        if quoted {
            letters.next();
        }
        loop {
            match letters.next() {
                Some('\\') => value.extend(letters.next()),
                Some('\'') if quoted => break,
                Some(letter) if !quoted && letter.is_whitespace() => break,
                Some(letter) => value.push(letter),
                None if quoted => return Err(wrong("a value whose quote does not end")),
                None => break,
            }
        }
        found.push((key.trim().to_owned(), value));
        rest = letters.as_str().trim_start();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        let pairs = parse(text).unwrap();
        let written: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        written.join("; ")
    }

    #[test]
    fn urls_are_taken_apart() {
        for (text, pairs) in [
            ("postgresql://h/d", "dbname=d; host=h"),
            (
                "postgres://me:p%40ss%2F@db.example.com:6432/shop?sslmode=verify-full&application_name=a%20b",
                "user=me; password=p@ss/; dbname=shop; host=db.example.com; port=6432; sslmode=verify-full; application_name=a b",
            ),
            (
                "postgresql://[::1]:5433,h2/d",
                "dbname=d; host=::1,h2; port=5433,",
            ),
            (
                "postgresql:///d?host=/run/postgresql&user=u",
                "dbname=d; host=/run/postgresql; user=u",
            ),
            (
                "postgresql://%2Frun%2Fpostgresql/d",
                "dbname=d; host=/run/postgresql",
            ),
        ] {
            assert_eq!(parsed(text), pairs);
        }
    }

    #[test]
    fn pairs_have_quotes_and_escapes() {
        assert_eq!(
            parsed(r"host = h  password='it\'s a \\ secret' user=me\ too dbname=''"),
            r"host=h; password=it's a \ secret; user=me too; dbname="
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for text in [
            "postgresql://me:hunter2%@h/d",
            "hunter2",
            "password='hunter2",
            "postgresql://me:hunter2@[::1/d",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
