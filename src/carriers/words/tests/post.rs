//! Russian Post's operation types and attributes.

use super::{code, code_of_two};

/// Russian Post's types and attributes, as its reference lists them: each pair in both orders, and in one text.
#[track_caller]
fn post(kind: &str, attributes: &[(&str, &str)]) {
    for (attribute, expected) in attributes {
        for found in [
            code_of_two(attribute, kind),
            code_of_two(kind, attribute),
            code(&format!("{kind}. {attribute}")),
            code(&format!("{kind} // {attribute}").to_uppercase()),
        ] {
            assert_eq!(&found, expected, "{kind} / {attribute}");
        }
    }
}

#[test]
fn russian_posts_deliveries_and_returns_are_known() {
    let to_addressee = "DELIVERED_TO_ADDRESSEE";
    let back = "RETURNED_TO_SENDER <";
    post(
        "Вручение",
        &[
            ("Вручение адресату", to_addressee),
            ("Вручение отправителю", back),
            (
                "Выдано адресату через почтомат",
                "DELIVERED_AT_PICKUP_POINT",
            ),
            ("Выдано отправителю через почтомат", back),
            ("Адресату электронно", to_addressee),
            ("Адресату почтальоном", to_addressee),
            ("Отправителю почтальоном", back),
            ("Адресату курьером", to_addressee),
            ("Отправителю курьером", back),
            ("Адресату с контролем ответа", to_addressee),
            ("Адресату с контролем ответа курьером", to_addressee),
            ("Отправителю с контролем ответа почтальоном", back),
            ("Вручение адресату по ПЭП", to_addressee),
            ("Адресату по доверенности", "DELIVERED"),
            ("Для передачи на оцифровку", "-"),
        ],
    );
    post(
        "Возврат",
        &[
            ("Истек срок хранения", "RETURNING_STORAGE_EXPIRED <"),
            ("Заявление отправителя", "RETURNING <"),
            (
                "Отсутствие адресата по указанному адресу",
                "RETURNING_UNDELIVERABLE <",
            ),
            ("Отказ адресата", "RETURNING_REFUSED <"),
            ("Смерть адресата", "RETURNING_UNDELIVERABLE <"),
            (
                "Невозможно прочесть адрес адресата",
                "RETURNING_UNDELIVERABLE <",
            ),
            ("Отказ в выпуске таможней", "RETURNING_UNDELIVERABLE <"),
            (
                "Адресат, абонирующий абонементный почтовый шкаф, не указан или указан неправильно",
                "RETURNING_UNDELIVERABLE <",
            ),
            ("Иные обстоятельства", "RETURNING <"),
            ("Неверный адрес", "RETURNING_UNDELIVERABLE <"),
            ("Частичный выкуп", "RETURNING <"),
        ],
    );
    post(
        "Досылка почты",
        &[
            ("По заявлению пользователя", "IN_TRANSIT_FORWARDED"),
            ("Выбытие адресата по новому адресу", "IN_TRANSIT_FORWARDED"),
            ("Засылка", "IN_TRANSIT_FORWARDED"),
        ],
    );
    post(
        "Невручение",
        &[
            ("Утрачено", "EXCEPTION_LOST"),
            ("Изъято", "EXCEPTION_SEIZED"),
            ("Засылка", "EXCEPTION_MISSORTED"),
            ("Решение таможни", "EXCEPTION"),
        ],
    );
    post(
        "Доставка",
        &[("Доставлено в почтовый ящик", "DELIVERED_TO_SAFE_PLACE")],
    );
    post(
        "Доставка",
        &[("Доставлено в руки адресату под роспись", "DELIVERED_SIGNED")],
    );
}

#[test]
fn russian_posts_attempts_are_known() {
    for kind in [
        "Неудачная попытка вручения",
        "Вторая неудачная попытка вручения",
    ] {
        post(
            kind,
            &[
                (
                    "Временное отсутствие адресата",
                    "ATTEMPT_FAILED_ADDRESSEE_NOT_AVAILABLE",
                ),
                ("Доставка отложена по просьбе адресата", "ATTEMPT_FAILED"),
                ("Неполный адрес", "ATTEMPT_FAILED_INVALID_ADDRESS"),
                (
                    "Неправильный/нечитаемый/неполный адрес",
                    "ATTEMPT_FAILED_INVALID_ADDRESS",
                ),
                ("Адресат выбыл", "ATTEMPT_FAILED_INVALID_ADDRESS"),
                ("Адресат отказался от отправления", "ATTEMPT_FAILED_REFUSED"),
                ("Форс-мажор/непредвиденные обстоятельства", "ATTEMPT_FAILED"),
                ("Иная", "ATTEMPT_FAILED"),
                ("Адресат заберет отправление сам", "ATTEMPT_FAILED"),
                (
                    "Адресат не доступен",
                    "ATTEMPT_FAILED_ADDRESSEE_NOT_AVAILABLE",
                ),
                ("Неудачная доставка", "ATTEMPT_FAILED"),
                ("Истек срок хранения в почтомате", "ATTEMPT_FAILED"),
                ("По требованию отправителя", "ATTEMPT_FAILED"),
                (
                    "Отправление повреждено и/или без вложения",
                    "ATTEMPT_FAILED",
                ),
                ("Адресат переехал", "ATTEMPT_FAILED_INVALID_ADDRESS"),
                (
                    "Невозможно связаться с клиентом",
                    "ATTEMPT_FAILED_ADDRESSEE_NOT_AVAILABLE",
                ),
                ("Отказ в импорте – запрещенные вложения", "ATTEMPT_FAILED"),
                ("Национальный праздник", "ATTEMPT_FAILED"),
                ("Утрата", "EXCEPTION_LOST"),
            ],
        );
    }
    post(
        "Недоставка",
        &[
            (
                "Отсутствие улицы, дома, квартиры",
                "ATTEMPT_FAILED_INVALID_ADDRESS",
            ),
            (
                "Неверный адрес/адрес не существует",
                "ATTEMPT_FAILED_INVALID_ADDRESS",
            ),
            ("Отказ в получении", "ATTEMPT_FAILED_REFUSED"),
            ("Нет доступа по адресу", "ATTEMPT_FAILED_ACCESS_RESTRICTED"),
        ],
    );
    post(
        "Неудачная доставка в ПВЗ",
        &[("ПВЗ закрыт временно", "ATTEMPT_FAILED_BUSINESS_CLOSED")],
    );
    post(
        "Неудачная доставка в АПС",
        &[("К АПС нет доступа", "ATTEMPT_FAILED_ACCESS_RESTRICTED")],
    );
}

#[test]
fn russian_posts_handling_is_known() {
    post(
        "Обработка",
        &[
            ("Сортировка", "IN_TRANSIT_SORTED"),
            ("Покинуло место приёма", "IN_TRANSIT_DEPARTED"),
            (
                "Прибыло в место вручения",
                "IN_TRANSIT_ARRIVED_AT_DESTINATION",
            ),
            ("Прибыло в сортировочный центр", "IN_TRANSIT_ARRIVED"),
            ("Покинуло сортировочный центр", "IN_TRANSIT_DEPARTED"),
            (
                "Прибыло в место международного обмена",
                "IN_TRANSIT_ARRIVED",
            ),
            (
                "Покинуло место международного обмена",
                "IN_TRANSIT_DEPARTED",
            ),
            ("Прибыло в место транзита", "IN_TRANSIT_ARRIVED"),
            ("Покинуло место транзита", "IN_TRANSIT_DEPARTED"),
            ("Прибыло в почтомат", "AVAILABLE_FOR_PICKUP_IN_LOCKER"),
            (
                "Истекает срок хранения в почтомате",
                "AVAILABLE_FOR_PICKUP_IN_LOCKER",
            ),
            ("Переадресовано в почтомат", "IN_TRANSIT_FORWARDED"),
            ("Изъято из почтомата", "EXCEPTION_PICKUP_MISSED"),
            (
                "Прибыло на территорию РФ",
                "IN_TRANSIT_ARRIVED_AT_DESTINATION_COUNTRY",
            ),
            (
                "Прибыло в Центр выдачи посылок",
                "IN_TRANSIT_ARRIVED_AT_DESTINATION",
            ),
            (
                "Передано курьеру (водителю)",
                "OUT_FOR_DELIVERY_WITH_COURIER",
            ),
            ("Передано почтальону", "OUT_FOR_DELIVERY_WITH_COURIER"),
            ("Покинуло место возврата/досылки", "IN_TRANSIT_DEPARTED"),
            ("Уточнение адреса", "EXCEPTION_INVALID_ADDRESS"),
            (
                "Ожидает курьерской доставки",
                "IN_TRANSIT_ARRIVED_AT_DESTINATION",
            ),
            ("Продление срока хранения", "AVAILABLE_FOR_PICKUP"),
            (
                "Истекает срок хранения (осталось 5 дней)",
                "AVAILABLE_FOR_PICKUP",
            ),
            ("Истек срок хранения", "EXCEPTION_PICKUP_MISSED"),
            (
                "Ожидает адресата в месте вручения",
                "AVAILABLE_FOR_PICKUP_AT_POINT",
            ),
            ("Нечто небывалое", "-"),
        ],
    );
    post(
        "Приём",
        &[
            ("Единичный", "IN_TRANSIT_ACCEPTED"),
            ("Партионный электронно", "IN_TRANSIT_ACCEPTED"),
        ],
    );
    post("Хранение", &[("До востребования", "AVAILABLE_FOR_PICKUP")]);
    post(
        "Временное хранение",
        &[
            ("Нероздано", "EXCEPTION_PICKUP_MISSED"),
            ("Содержимое запрещено к пересылке", "EXCEPTION_HELD"),
        ],
    );
    // An airline's words are about a bag of mail, not about a parcel and its addressee.
    post(
        "Обработка перевозчиком",
        &[("Доставлено", "IN_TRANSIT"), ("Возвращено", "IN_TRANSIT")],
    );
}

#[test]
fn russian_posts_customs_are_known() {
    post(
        "Таможенное оформление",
        &[
            ("Выпущено таможней", "IN_TRANSIT_CUSTOMS_CLEARED"),
            ("Осмотрено таможней", "IN_TRANSIT_CUSTOMS_PROCESSING"),
            ("Отказ в выпуске", "EXCEPTION_CUSTOMS_DELAY"),
            ("Возвращено таможней", "EXCEPTION_CUSTOMS_DELAY"),
            ("Выпуск приостановлен", "EXCEPTION_CUSTOMS_DELAY"),
            (
                "Отказ в выпуске. Таможенные платежи не уплачены",
                "EXCEPTION_CUSTOMS_DUTIES_UNPAID",
            ),
            (
                "Выпуск разрешен. Таможенные платежи уплачены",
                "IN_TRANSIT_CUSTOMS_CLEARED",
            ),
            ("Требуется досмотр", "IN_TRANSIT_CUSTOMS_PROCESSING"),
        ],
    );
    post(
        "Продление срока выпуска таможней",
        &[
            ("Прочее", "EXCEPTION_CUSTOMS_DELAY"),
            ("Счет отсутствует", "EXCEPTION_CUSTOMS_DOCUMENTATION"),
        ],
    );
    for (text, expected) in [
        ("Приём на таможню", "IN_TRANSIT_CUSTOMS_PROCESSING"),
        ("Принято таможней", "IN_TRANSIT_CUSTOMS_PROCESSING"),
        ("Выпущено таможней", "IN_TRANSIT_CUSTOMS_CLEARED"),
        ("Задержано таможней", "EXCEPTION_CUSTOMS_DELAY"),
        ("Импорт международной почты", "IN_TRANSIT_IMPORTED"),
        ("Экспорт международной почты", "IN_TRANSIT_EXPORTED"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
}

#[test]
fn russian_posts_other_operations_are_known() {
    for (text, expected) in [
        ("Приём", "IN_TRANSIT_ACCEPTED"),
        ("Принято в отделении связи", "IN_TRANSIT_ACCEPTED"),
        ("Отправление принято", "IN_TRANSIT_ACCEPTED"),
        ("Идёт сортировка", "IN_TRANSIT_SORTED"),
        ("В пути", "IN_TRANSIT"),
        ("Обработка", "IN_TRANSIT"),
        ("Регистрация отправки", "IN_TRANSIT_DEPARTED"),
        ("Передача на временное хранение", "EXCEPTION_HELD"),
        ("Поступление на временное хранение", "EXCEPTION_HELD"),
        ("Уничтожение", "EXCEPTION_DESTROYED"),
        ("Оформление в собственность", "EXCEPTION"),
        ("Регистрация утраты", "EXCEPTION_LOST"),
        ("Утрачено", "EXCEPTION_LOST"),
        ("Изъято", "EXCEPTION_SEIZED"),
        (
            "Таможенные платежи поступили",
            "IN_TRANSIT_CUSTOMS_PROCESSING",
        ),
        ("Регистрация", "INFO_RECEIVED"),
        (
            "Получена электронная регистрация",
            "INFO_RECEIVED_LABEL_CREATED",
        ),
        ("Присвоение идентификатора", "INFO_RECEIVED_LABEL_CREATED"),
        ("Отмена присвоения идентификатора", "CANCELLED"),
        ("Аннулирование", "CANCELLED"),
        ("Частичное вручение", "EXCEPTION"),
        (
            "Отказ в курьерской доставке",
            "EXCEPTION_REJECTED_BY_CARRIER",
        ),
        ("Отказ в приеме", "EXCEPTION_REJECTED_BY_CARRIER"),
        ("Вскрытие", "EXCEPTION"),
        // Reverts one operation, for example an operator's mistake; the parcel travels on. The type alone may be a shop's
        // word for a cancelled order.
        ("Отмена", "-"),
        ("Отмена. Ошибка оператора", "takes back"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
}
