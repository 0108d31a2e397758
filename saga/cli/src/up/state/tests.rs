use super::*;

fn folder(name: &str) -> PathBuf {
    let id = uuid::Uuid::now_v7();
    std::env::temp_dir().join(format!("saga-cli-{name}-{id}"))
}

fn claim(data_dir: &Path) -> Option<Claim> {
    Claim::on(data_dir, Addresses::from_port_base(7_100)).unwrap()
}

#[test]
fn a_system_is_found_while_its_process_holds_the_folder() {
    let data_dir = folder("found");
    assert_eq!(look(&data_dir), Found::Nothing);

    let held = claim(&data_dir).unwrap();
    held.change(|running| running.ready = true);
    let Found::Running(running) = look(&data_dir) else { panic!("not found") };
    assert!(running.ready);

    held.release();
    assert_eq!(look(&data_dir), Found::Held);
    drop(held);
    assert_eq!(look(&data_dir), Found::Nothing);
    fs::remove_dir_all(data_dir).unwrap();
}

#[test]
fn the_folder_remembers_where_its_system_listens() {
    let data_dir = folder("remembered");
    assert_eq!(last_addresses(&data_dir), None);
    let held = Claim::on(&data_dir, Addresses::from_port_base(7_200)).unwrap().unwrap();
    assert_eq!(last_addresses(&data_dir), None);
    held.ready();
    held.release();
    drop(held);
    assert_eq!(last_addresses(&data_dir), Some(Addresses::from_port_base(7_200)));
    fs::remove_dir_all(data_dir).unwrap();
}

#[test]
fn what_a_killed_process_left_is_stale_and_in_nobodys_way() {
    let data_dir = folder("stale");
    drop(claim(&data_dir).unwrap());
    assert!(matches!(look(&data_dir), Found::Stale(_)));
    claim(&data_dir).unwrap().release();
    fs::remove_dir_all(data_dir).unwrap();
}

#[test]
fn a_system_that_stops_says_so() {
    let data_dir = folder("stopping");
    let held = claim(&data_dir).unwrap();
    held.change(|running| running.ready = true);
    held.stopping();
    let Found::Running(running) = look(&data_dir) else { panic!("not found") };
    assert!(running.stopping && !running.ready);
    held.release();
    fs::remove_dir_all(data_dir).unwrap();
}

#[test]
fn one_process_has_the_folder() {
    let data_dir = folder("second");
    let held = claim(&data_dir).unwrap();
    assert!(claim(&data_dir).is_none());
    held.release();
    fs::remove_dir_all(data_dir).unwrap();
}
