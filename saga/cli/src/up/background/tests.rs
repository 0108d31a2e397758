use super::*;

#[test]
fn the_log_of_a_crash_outlives_a_few_starts_after_it() {
    let data_dir = std::env::temp_dir().join(format!("saga-cli-logs-{}", uuid::Uuid::now_v7()));
    fs::create_dir_all(&data_dir).unwrap();
    keep_old_logs(&data_dir);
    for start in 0..8 {
        fs::write(log_path(&data_dir), start.to_string()).unwrap();
        keep_old_logs(&data_dir);
    }
    let mut kept: Vec<_> = fs::read_dir(&data_dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    kept.sort();
    let expected = [(1, 7), (2, 6), (3, 5), (4, 4), (5, 3)]
        .map(|(number, start)| (format!("saga.log.{number}"), start.to_string()));
    assert_eq!(kept, expected);
    fs::remove_dir_all(data_dir).unwrap();
}
