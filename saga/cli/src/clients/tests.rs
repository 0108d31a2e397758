use super::*;

#[test]
fn the_usual_ports_are_four_in_a_row() {
    let addresses = Addresses::of(&Place::default(), || None);
    assert_eq!(addresses.coordinator, "127.0.0.1:7100");
    assert_eq!(addresses.payment, "127.0.0.1:7103");
    assert_eq!(addresses.server_ports(), (7_104, 7_105));
}

#[test]
fn a_flag_stands_over_the_system_on_the_data_folder() {
    let known = || Some(Addresses::from_port_base(7_200));
    let nothing_said = Place::default();
    assert_eq!(Addresses::of(&nothing_said, known).order, "127.0.0.1:7201");

    let base_said = Place { port_base: Some(7_300), ..Place::default() };
    assert_eq!(Addresses::of(&base_said, known).order, "127.0.0.1:7301");

    let one_said = Place { order: Some("shop:1".to_owned()), ..Place::default() };
    let addresses = Addresses::of(&one_said, known);
    assert_eq!((&*addresses.order, &*addresses.payment), ("shop:1", "127.0.0.1:7203"));
}
