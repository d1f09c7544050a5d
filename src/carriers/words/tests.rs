mod files;
mod post;
mod texts;

use super::{Meaning, meaning, meaning_of_two};
use crate::model::status::Direction;

/// A text's normalised code, with its direction if that is back; `-` if the text has no meaning.
fn code(text: &str) -> String {
    shown(meaning(text))
}

fn code_of_two(main: &str, other: &str) -> String {
    shown(meaning_of_two(main, other))
}

fn shown(meaning: Option<Meaning>) -> String {
    let Some(meaning) = meaning else {
        return "-".to_owned();
    };
    if meaning.takes_back {
        return "takes back".to_owned();
    }
    let code = meaning
        .sub_status
        .map_or(meaning.status.as_str(), |sub| sub.as_str());
    match meaning.direction {
        Direction::Forward => code.to_owned(),
        Direction::Return => format!("{code} <"),
    }
}

#[track_caller]
fn all(code_of_each: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(code(text), code_of_each, "{text}");
    }
}

#[test]
fn a_failed_attempt_is_no_delivery() {
    all(
        "ATTEMPT_FAILED",
        &[
            "Неудачная попытка вручения",
            "НЕУДАЧНАЯ  ПОПЫТКА\tВРУЧЕНИЯ.",
            "Вторая неудачная попытка вручения",
            "Не вручено",
            "Не вручен",
            "Не доставлено",
            "Посылка не вручена",
            "Заказ не доставлен получателю",
            "Доставка не удалась",
            "Не удалось вручить адресату",
            "Невозможно вручить",
            "Недоставка",
        ],
    );
    assert_eq!(
        code_of_two("Вручение адресату", "Неудачная попытка вручения"),
        "ATTEMPT_FAILED"
    );
    assert_eq!(
        code_of_two("Не вручен", "Отказ получателя"),
        "ATTEMPT_FAILED_REFUSED"
    );
    assert_eq!(
        code_of_two("Неудачная попытка вручения", "Нечто небывалое"),
        "ATTEMPT_FAILED"
    );
    assert_eq!(
        code_of_two("Неудачная попытка вручения", "Адресата нет дома"),
        "ATTEMPT_FAILED_ADDRESSEE_NOT_AVAILABLE"
    );
}

#[test]
fn what_goes_to_the_sender_is_a_return() {
    all(
        "RETURNED_TO_SENDER <",
        &[
            "Вручение отправителю",
            "Вручено отправителю",
            "Вручение. Вручение отправителю",
            "Вручение - Отправителю курьером",
            "Возвращено отправителю",
            "Посылка вручена отправителю",
            "Получено отправителем",
            "Выдано отправителю через почтомат",
        ],
    );
    assert_eq!(
        code_of_two("Вручено", "Отправителю"),
        "RETURNED_TO_SENDER <"
    );
    all(
        "RETURNING <",
        &[
            "Возврат",
            "Возврат отправителю",
            "Возврат по заявлению отправителя",
            "Отправлено на возврат",
        ],
    );
    assert_eq!(
        code("Передано курьеру для возврата отправителю"),
        "RETURNING <"
    );
    assert_eq!(
        code("Возврат: истёк срок хранения"),
        "RETURNING_STORAGE_EXPIRED <"
    );
    assert_eq!(
        code_of_two("Возврат", "Истёк срок хранения"),
        "RETURNING_STORAGE_EXPIRED <"
    );
    assert_eq!(
        code_of_two("Прибыло в место вручения", "Возврат"),
        "RETURNING <"
    );
}

#[test]
fn what_a_courier_brings_back_to_the_depot_is_not_returned() {
    all(
        "IN_TRANSIT",
        &[
            "Возвращено в место вручения",
            "Возвращен на склад доставки",
            "Возвращен на склад транзита",
            "Возвращен на склад отправителя",
            "Возвращено в отделение связи",
        ],
    );
}

#[test]
fn only_a_text_that_says_so_wholly_is_a_delivery() {
    all(
        "DELIVERED",
        &[
            "Вручен",
            "Вручено",
            "Вручение",
            "Доставлено",
            "Вручено курьером",
            "Вручено по доверенности",
            "Заказ доставлен",
        ],
    );
    all(
        "DELIVERED_TO_ADDRESSEE",
        &[
            "Вручение адресату",
            "Вручено адресату почтальоном",
            "Получено адресатом",
            "Выдано получателю",
        ],
    );
    all(
        "DELIVERED_AT_PICKUP_POINT",
        &[
            "Выдано адресату через почтомат",
            "Изъят из постамата клиентом",
        ],
    );
    all(
        "DELIVERED_TO_SAFE_PLACE",
        &[
            "Вручение адресату почтовым ящиком",
            "Доставлено в почтовый ящик",
        ],
    );
    all(
        "-",
        &[
            "Доставка",
            "Вручение адресату отложено",
            "Вручение адресату не состоялось",
            "Вручение запланировано на завтра",
            "Вручение разрешено",
            "Доставлено ли?",
            "Недовручено",
            "Невручено",
            "Перевручено",
            "Вручение - что-то новое",
        ],
    );
    assert_eq!(code_of_two("Вручение", "Что-то новое"), "-");
    assert_eq!(
        code_of_two("Вручение", "Returned to sender"),
        "RETURNED_TO_SENDER <"
    );
    assert_eq!(code_of_two("Вручено", "Attempted, nobody at home"), "-");
    assert_eq!(code_of_two("Вручено адресату", "Ошибка оператора"), "-");
    assert_eq!(code_of_two("Вручено адресату", "Возвращается"), "-");
    assert_eq!(
        code_of_two("Вручено адресату", "Омск"),
        "DELIVERED_TO_ADDRESSEE"
    );
}

#[test]
fn given_to_the_courier_is_not_given_to_the_addressee() {
    all(
        "OUT_FOR_DELIVERY_WITH_COURIER",
        &[
            "Выдано на доставку",
            "Выдан на доставку",
            "Передано курьеру",
            "Передано курьеру (водителю)",
            "Передано почтальону",
            "Выдан курьеру на доставку",
            "Передано на доставку",
        ],
    );
    all(
        "AVAILABLE_FOR_PICKUP_AT_POINT",
        &[
            "Готово к выдаче",
            "Заказ готов к выдаче",
            "Готов к вручению",
            "Принят на склад до востребования",
            "Ожидает адресата в месте вручения",
            "Ожидает вручения",
            "Прибыло в пункт выдачи",
        ],
    );
    all(
        "AVAILABLE_FOR_PICKUP_IN_LOCKER",
        &["Прибыло в почтомат", "Заложен в постамат"],
    );
    assert_eq!(
        code("Доставлено в отделение связи"),
        "IN_TRANSIT_ARRIVED_AT_DESTINATION"
    );
    assert_eq!(code("Доставлено извещение"), "AVAILABLE_FOR_PICKUP");
}

#[test]
fn cdeks_names_are_known() {
    for (name, expected) in [
        ("Принят", "INFO_RECEIVED"),
        ("Создан", "INFO_RECEIVED_LABEL_CREATED"),
        ("Удален", "CANCELLED"),
        ("Принят на склад отправителя", "IN_TRANSIT_ACCEPTED"),
        ("Выдан на отправку в г.-отправителе", "IN_TRANSIT_DEPARTED"),
        (
            "Сдан перевозчику в г. отправителе",
            "IN_TRANSIT_TRANSFERRED_TO_CARRIER",
        ),
        ("Отправлен в г.-транзит", "IN_TRANSIT_DEPARTED"),
        ("Встречен в г.-транзите", "IN_TRANSIT_ARRIVED"),
        ("Принят на склад транзита", "IN_TRANSIT_ARRIVED"),
        ("Отправлен в г.-получатель", "IN_TRANSIT_DEPARTED"),
        ("Отправлен в город-получатель", "IN_TRANSIT_DEPARTED"),
        (
            "Встречен в г.-получателе",
            "IN_TRANSIT_ARRIVED_AT_DESTINATION",
        ),
        (
            "Принят на склад доставки",
            "IN_TRANSIT_ARRIVED_AT_DESTINATION",
        ),
        (
            "Поступил на склад до востребования",
            "AVAILABLE_FOR_PICKUP_AT_POINT",
        ),
        ("Отправлен в г.-отправитель", "IN_TRANSIT_DEPARTED"),
        ("Встречен в г. отправителе", "IN_TRANSIT_ARRIVED"),
        ("Поступил в г. транзита", "IN_TRANSIT_ARRIVED"),
        (
            "Таможенное оформление в стране отправления",
            "IN_TRANSIT_CUSTOMS_PROCESSING",
        ),
        ("Отправлено в страну назначения", "IN_TRANSIT_DEPARTED"),
        (
            "Передано транзитному перевозчику",
            "IN_TRANSIT_TRANSFERRED_TO_CARRIER",
        ),
        (
            "Таможенное оформление завершено",
            "IN_TRANSIT_CUSTOMS_CLEARED",
        ),
        ("Изъят из постамата курьером", "RETURNING_STORAGE_EXPIRED <"),
        ("Некорректный заказ", "EXCEPTION"),
    ] {
        assert_eq!(code(name), expected, "{name}");
    }
}

#[test]
fn a_text_that_is_not_in_the_table_means_nothing() {
    all(
        "-",
        &[
            "",
            " ",
            "...",
            "Not delivered",
            "Delivery",
            "12345",
            "Нечто небывалое",
            "Отправление",
            "Отложено",
            "\0\u{7}",
        ],
    );
    let letter = "вручено ".repeat(41);
    assert_eq!(code(&letter), "-");
    assert_eq!(code(&format!("Вручено, {letter}")), "-");
    assert_eq!(code_of_two("", ""), "-");
    assert_eq!(code_of_two("", "Вручено"), "DELIVERED");
    assert_eq!(code_of_two("Вручено", "вручено"), "DELIVERED");
}

#[test]
fn both_orders_of_an_aggregators_two_texts_are_read() {
    assert_eq!(
        code_of_two("Обработка", "Покинуло сортировочный центр"),
        "IN_TRANSIT_DEPARTED"
    );
    assert_eq!(
        code_of_two("Покинуло сортировочный центр", "Обработка"),
        "IN_TRANSIT_DEPARTED"
    );
    assert_eq!(code_of_two("Приём", "Единичный"), "IN_TRANSIT_ACCEPTED");
    assert_eq!(
        code_of_two("Сортировка", "Сообщено позже"),
        "IN_TRANSIT_SORTED"
    );
}
