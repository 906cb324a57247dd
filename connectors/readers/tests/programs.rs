//! The readers as programs that need no Python.

use std::process::Command;

#[test]
fn each_says_its_settings() {
    for (program, setting) in [
        (env!("CARGO_BIN_EXE_dativo-csv"), "delimiter"),
        (env!("CARGO_BIN_EXE_dativo-jsonl"), "nested"),
        (env!("CARGO_BIN_EXE_dativo-parquet"), "primary_key"),
        (env!("CARGO_BIN_EXE_dativo-postgres"), "sslmode"),
    ] {
        let ended = Command::new(program).arg("spec").output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        let settings = &said["spec"]["connectionSpecification"]["properties"];
        assert!(
            ended.status.success() && settings.get(setting).is_some(),
            "{program}: {said}"
        );
    }
}
