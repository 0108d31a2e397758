use super::*;

#[test]
fn one_object_an_array_and_lines_are_read() {
    let one = r#"{"lines": [{"sku": "SKU-1", "quantity": 2}], "payment_method": "tok_ok"}"#;
    let orders = parse(one).unwrap();
    assert_eq!(orders[0].lines[0].quantity, 2);
    assert_eq!(orders[0].payment_method, "tok_ok");

    assert_eq!(parse(&format!("[{one}, {one}]")).unwrap().len(), 2);
    assert_eq!(parse(&format!("{one}\n{one}\n{one}\n")).unwrap().len(), 3);
}

#[test]
fn two_orders_of_a_file_do_not_share_a_request_id() {
    let order = |request_id: &str| format!(r#"{{"requestId": "{request_id}"}}"#);
    let check = |ids: &[&str]| {
        let text: String = ids.iter().map(|id| order(id)).collect();
        check_request_ids(&parse(&text).unwrap())
    };
    assert!(check(&["a", "", "b", ""]).is_ok());
    let refused = check(&["a", "b", "", "b"]).unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    let told = refused.text();
    assert!(told.contains("orders 2 and 4 have the same requestId 'b'"), "{told}");
}

#[test]
fn what_is_wrong_is_named() {
    for (text, part) in [
        ("", "empty"),
        ("{", "EOF"),
        (r#"{"lines": [{"sku": "A", "quantity": -1}]}"#, "order 1: lines[0].quantity: "),
        (r#"[{}, {"lignes": []}]"#, "lignes"),
        ("7", "order 1"),
        (r#"{"lines": [], "lines": []}"#, "lines is given twice at line 1 column"),
        (r#"[{"lines": [{"sku": "A", "sku": "B"}]}]"#, "sku is given twice"),
        (
            r#"{"paymentMethod": "tok_ok", "payment_method": "tok_declined"}"#,
            "payment_method is given twice",
        ),
    ] {
        let why = parse(text).unwrap_err();
        assert!(why.contains(part), "{text}: {why}");
    }
}
