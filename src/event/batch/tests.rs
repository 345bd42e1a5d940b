//! Bodies with many items, and what is no such body.

use proptest::prelude::*;

use super::*;

fn items(body: &str, form: BatchForm) -> Vec<&str> {
    split(body.as_bytes(), form)
        .unwrap()
        .into_iter()
        .map(|item| std::str::from_utf8(item).unwrap())
        .collect()
}

#[test]
fn an_array_a_wrapper_and_lines_give_the_same_items() {
    let expected = [r#"{"a":"],[}\\\""}"#, r#"{"b":[1,{"c":2}]}"#, "tru", "7"];
    let list = expected.join(" ,\n ");
    for body in [
        format!(" [ {list} ] "),
        format!(r#"{{"logs": [{list}]}}"#),
        format!(r#"{{"events":[{list}] }}"#),
    ] {
        assert_eq!(items(&body, BatchForm::Posted), expected, "{body}");
    }
    for key in ["Records", "Events", "logs"] {
        let body = format!(r#"{{"x":1,"{key}":[{list}]}}"#);
        assert_eq!(split_file(body.as_bytes()).unwrap().1, Some(key.as_bytes()));
    }
    assert_eq!(split_file(b"[{}]").unwrap().1, None);
    let lines = format!("\u{feff}{}\r\n\n  \n", expected.join("\r\n"));
    assert_eq!(items(&lines, BatchForm::Posted), expected);
    assert_eq!(items(&lines, BatchForm::Lines), expected);
    assert_eq!(
        items(&format!(r#"{{"Records":[{list}]}}"#), BatchForm::File),
        expected
    );
    assert_eq!(
        items(
            &format!(r#"{{"NextToken":"x","Events":[{list}]}}"#),
            BatchForm::File
        ),
        expected
    );
}

#[test]
fn an_empty_list_is_a_batch_and_nothing_at_all_is_none() {
    for body in ["[]", "{\"logs\": []}"] {
        assert!(items(body, BatchForm::Posted).is_empty(), "{body}");
    }
    for body in ["", " \r\n", "\u{feff}"] {
        for form in [BatchForm::Posted, BatchForm::Lines] {
            assert_eq!(split(body.as_bytes(), form), Err(BatchError::Empty), "{body:?}");
        }
    }
}

#[test]
fn one_bad_line_or_item_is_not_its_neighbours() {
    assert_eq!(
        items("{\"a\":\n{\"b\":1}\nnonsense\n", BatchForm::Posted),
        ["{\"a\":", "{\"b\":1}", "nonsense"]
    );
    assert_eq!(
        items(r#"[{"a":nonsense}, {"b" 1}, {"c":1}]"#, BatchForm::Posted),
        [r#"{"a":nonsense}"#, r#"{"b" 1}"#, r#"{"c":1}"#]
    );
    assert_eq!(
        split(b"[\"\xff\",1]", BatchForm::Posted).unwrap(),
        [&b"\"\xff\""[..], b"1"]
    );
}

#[test]
fn one_object_is_one_event_also_over_several_lines() {
    let pretty = "{\n  \"action\": \"VIEW\"\n}";
    assert_eq!(items(pretty, BatchForm::Posted), [pretty]);
    assert_eq!(items(r#"{"events":3}"#, BatchForm::Posted), [r#"{"events":3}"#]);
    assert_eq!(items("{}", BatchForm::Posted), ["{}"]);
    assert_eq!(items("[]", BatchForm::Posted), [""; 0]);
}

#[test]
fn a_broken_frame_says_where() {
    for (body, line, column) in [
        ("[1,\n2", 2, 2),
        ("[1,]", 1, 4),
        ("[1 2]", 1, 6),
        ("[1] 2", 1, 5),
        (r#"["a]"#, 1, 5),
        ("{\"logs\":[1,\n", 2, 1),
    ] {
        match split(body.as_bytes(), BatchForm::Posted) {
            Err(BatchError::Broken {
                line: l, column: c, ..
            }) => assert_eq!((l, c), (line, column), "{body}"),
            other => assert!(body == "[1 2]" && other.is_ok(), "{body}: {other:?}"),
        }
    }
}

#[test]
fn nothing_beside_the_list_is_lost() {
    let body = br#"{"logs":[{}],"tenant_id":"acme"}"#;
    assert_eq!(
        split(body, BatchForm::Posted),
        Err(BatchError::Beside("tenant_id".into()))
    );
}

#[test]
fn the_number_of_items_is_bounded() {
    let body = format!("[{}1]", "1,".repeat(ITEMS_MAX));
    assert_eq!(
        split(body.as_bytes(), BatchForm::Posted),
        Err(BatchError::TooMany)
    );
    assert_eq!(
        split("1\n".repeat(ITEMS_MAX + 1).as_bytes(), BatchForm::Lines),
        Err(BatchError::TooMany)
    );
    assert!(split(body.as_bytes(), BatchForm::File).is_ok());
}

proptest! {
    #[test]
    fn whatever_serde_writes_comes_apart(texts in proptest::collection::vec(any::<String>(), 0..8)) {
        let values: Vec<_> = texts.iter().map(|text| serde_json::json!({ "t": text, "deep": [{ "x": text }] })).collect();
        let body = serde_json::to_vec(&values).unwrap();
        let read: Vec<serde_json::Value> = split(&body, BatchForm::Posted).unwrap().into_iter()
            .map(|item| serde_json::from_slice(item).unwrap()).collect();
        prop_assert_eq!(read, values);
    }

    #[test]
    fn never_panics(body in proptest::collection::vec(prop_oneof![
        Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b','), Just(b'"'), Just(b'\\'), Just(b':'), Just(b'\n'), any::<u8>()
    ], 0..40)) {
        for form in [BatchForm::Posted, BatchForm::Lines, BatchForm::File] {
            let _ = split(&body, form);
        }
    }
}
