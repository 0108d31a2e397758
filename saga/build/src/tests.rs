use std::{error::Error, fs, path::Path};

use tempfile::TempDir;

use super::{promises, read};

#[test]
fn what_is_promised_comes_without_a_copy_of_the_options() {
    let code = generate(&[("hotel/v1/messages.proto", HOTEL)]).unwrap();
    for promise in [
        "impl Event for hotel::v1::RoomListed { const TOPIC: &'static str = \"hotel.events.v1\"; }",
        "impl Undoable for hotel::v1::BookRoom { type Undo = hotel::v1::CancelRoom; }",
        "impl Retriable for hotel::v1::CancelRoom {}",
        "fn book_room(&mut self, command: hotel::v1::BookRoom) -> Decision<hotel::v1::RoomBooked>;",
        "fn cancel_room(&mut self, command: hotel::v1::CancelRoom) -> Settled<hotel::v1::RoomCancelled>;",
        "const TOPIC: &'static str = \"hotel.commands.v1\";",
    ] {
        assert!(code.contains(promise), "{promise}\nis not in\n{code}");
    }
}

#[test]
fn messages_of_another_folder_can_be_imported() {
    let (own, other) = (
        folder(&[("a/v1/a.proto", "syntax = \"proto3\"; package a.v1; import \"b/v1/b.proto\";")]),
        folder(&[("b/v1/b.proto", "syntax = \"proto3\"; package b.v1; message B {}")]),
    );
    let compiler = read(own.path(), &[other.path().to_str().unwrap()]).unwrap();
    assert!(compiler.descriptor_pool().get_message_by_name("b.v1.B").is_some());
}

#[test]
fn two_services_of_one_name_are_refused() {
    let error = refused(&[
        ("shop/payment/v1/messages.proto", &service("shop.payment.v1", "PaymentCommands")),
        ("travel/payment/v2/messages.proto", &service("travel.payment.v2", "PaymentCommands")),
    ]);
    assert_eq!(
        error,
        "`shop.payment.v1.PaymentCommands` (in shop/payment/v1/messages.proto) and \
         `travel.payment.v2.PaymentCommands` (in travel/payment/v2/messages.proto) would have the \
         trait `PaymentCommands` in common: rename one of the two services, as trait, enum and \
         topic are named after the service alone"
    );
}

#[test]
fn two_services_on_one_topic_are_refused() {
    let error = refused(&[
        ("crm/v1/messages.proto", &service("crm.v1", "CrmCommands")),
        ("sales/v1/messages.proto", &service("sales.v1", "CRMCommands")),
    ]);
    assert!(
        error.starts_with(
            "`crm.v1.CrmCommands` (in crm/v1/messages.proto) and `sales.v1.CRMCommands` (in \
             sales/v1/messages.proto) would have the topic `crm.commands.v1` in common: rename"
        ),
        "{error}"
    );
}

#[test]
fn services_of_different_names_stand_beside_each_other() {
    let code = generate(&[
        ("shop/payment/v1/messages.proto", &service("shop.payment.v1", "PaymentCommands")),
        ("travel/payment/v1/messages.proto", &service("travel.payment.v1", "FareCommands")),
    ])
    .unwrap();
    assert!(code.contains("pub trait PaymentCommands") && code.contains("pub trait FareCommands"));
}

#[test]
fn an_undo_that_is_no_command_of_the_service_is_refused() {
    let error =
        refused(&[("hotel/v1/messages.proto", &HOTEL.replace("\"CancelRoom\"", "\"Oops\""))]);
    assert_eq!(error, "hotel.v1.HotelCommands has no command Oops");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = read(Path::new("no-such-folder"), &[]).unwrap_err().to_string();
    assert!(error.contains("`no-such-folder`"), "{error}");
}

const HOTEL: &str = r#"
    syntax = "proto3";
    package hotel.v1;
    import "saga/v1/options.proto";

    message RoomListed {
      option (saga.v1.published_on) = "hotel.events.v1";
    }

    service HotelCommands {
      rpc BookRoom(BookRoom) returns (RoomBooked) {
        option (saga.v1.undone_by) = "CancelRoom";
      }
      rpc CancelRoom(CancelRoom) returns (RoomCancelled);
    }

    message BookRoom {}
    message RoomBooked {}
    message CancelRoom {}
    message RoomCancelled {}
"#;

fn service(package: &str, name: &str) -> String {
    format!(
        "syntax = \"proto3\"; package {package};
         service {name} {{ rpc Pay(Pay) returns (Paid); }}
         message Pay {{}} message Paid {{}}"
    )
}

fn refused(files: &[(&str, &str)]) -> String {
    generate(files).unwrap_err().to_string()
}

fn generate(files: &[(&str, &str)]) -> Result<String, Box<dyn Error>> {
    promises::write(&read(folder(files).path(), &[])?.descriptor_pool())
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}
