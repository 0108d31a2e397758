use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_cache_that_others_may_write_to_is_not_taken() {
    let folder = std::env::temp_dir().join(format!("saga-jars-{:x}", port::random()));
    assert_eq!(ours_alone(folder.clone()).unwrap(), folder);
    assert_eq!(ours_alone(folder.clone()).unwrap(), folder);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(ours_alone(folder.clone()), Err(Error::ForeignFolder { .. })));
    fs::remove_dir(&folder).unwrap();

    std::os::unix::fs::symlink("/", &folder).unwrap();
    assert!(matches!(ours_alone(folder.clone()), Err(Error::ForeignFolder { .. })));
    fs::remove_file(&folder).unwrap();
}

#[test]
fn what_a_cancelled_start_left_is_swept_and_the_rest_stays() {
    let cache = std::env::temp_dir().join(format!("saga-jars-{:x}", port::random()));
    let names = ["kafka-4.3.1.1f", "kafka-4.3.1.rehearsal.2e", FOLDER, "kafka-4.3.0"];
    for name in names {
        fs::create_dir_all(cache.join(name).join("libs")).unwrap();
    }
    File::create(cache.join(format!("{FOLDER}.lock"))).unwrap();
    sweep(&cache);
    let left = |name: &str| cache.join(name).exists();
    assert_eq!(names.map(left), [false, false, true, true]);
    assert!(left("kafka-4.3.1.lock"));
    fs::remove_dir_all(cache).unwrap();
}
