//! Words that carriers write into their errors, English and Russian: data, of which adapters may bring their own.
//!
//! Each stands in small letters, with blanks for all marks between words, and as the beginning of a word or of several in
//! a row; a blank at its end makes it whole words. No carrier documents its words: "TooManyRequests" is recorded in a
//! public client of Track24 (read November 2026), the others are what such services usually write.

/// What is said of what: one word of each list must be there.
pub struct Saying {
    pub of: &'static [&'static str],
    pub says: &'static [&'static str],
}

/// The account's calls are used up.
pub const USED_UP: &[Saying] = &[
    Saying {
        of: &["limit", "requests", "calls", "лимит", "запросов", "квот"],
        says: &[
            "exceed",
            "reached",
            "exhausted",
            "used up",
            "too many",
            "превы",
            "исчерп",
            "слишком",
        ],
    },
    Saying {
        of: &["quota", "rate limit", "too many requests", "слишком част"],
        says: ANYTHING,
    },
];

/// The key, or the domain that it was given to, is refused.
pub const KEY_REFUSED: &[Saying] = &[Saying {
    of: &[
        "key",
        "apikey",
        "token",
        "domain",
        "password",
        "credential",
        "login",
        "authoriz",
        "authentic",
        "ключ",
        "токен",
        "домен",
        "парол",
        "логин",
        "авторизац",
        "аутентиф",
    ],
    says: &[
        "invalid",
        "not valid",
        "wrong",
        "bad",
        "incorrect",
        "unknown",
        "expired",
        "revoked",
        "missing",
        "required",
        "fail",
        "denied",
        "refused",
        "blocked",
        "disabled",
        "not allowed",
        "not registered",
        "not specified",
        "not found",
        "not exist",
        "doesn t exist",
        "not known",
        "неверн",
        "неправильн",
        "некорректн",
        "недейств",
        "неизвест",
        "не действ",
        "не указан",
        "не передан",
        "не задан",
        "не зарегистр",
        "не найден",
        "не существует",
        "не разреш",
        "не прошл",
        "нет данных",
        "просроч",
        "истек",
        "отозван",
        "заблокир",
        "отключ",
        "требуется",
        "необходим",
        "запрещ",
    ],
}];

/// The account's plan does not cover the call.
pub const PLAN_ENDED: &[Saying] = &[Saying {
    of: &[
        "subscription",
        "tariff",
        "billing",
        "balance",
        "тариф",
        "подписк",
        "баланс",
    ],
    says: TROUBLE,
}];

/// The account is not served. The words may be about a single number, so they count only if no number is named.
pub const NOT_SERVED: &[Saying] = &[
    Saying {
        of: &[
            "user",
            "account",
            "client ",
            "customer ",
            "plan ",
            "license",
            "payment",
            "contract",
            "ip ",
            "access",
            "пользовател",
            "аккаунт",
            "учетн",
            "клиент ",
            "оплат",
            "договор",
            "лиценз",
            "доступ",
            "средств",
        ],
        says: TROUBLE,
    },
    Saying {
        of: &["unauthorized", "forbidden", "нет доступа", "не авторизован"],
        says: ANYTHING,
    },
];

/// What can be wrong with an account.
const TROUBLE: &[&str] = &[
    "not found",
    "not exist",
    "unknown",
    "no data",
    "no information",
    "invalid",
    "blocked",
    "banned",
    "suspended",
    "disabled",
    "inactive",
    "not active",
    "expired",
    "unpaid",
    "not paid",
    "required",
    "not allowed",
    "denied",
    "forbidden",
    "restricted",
    "insufficient",
    "not enough",
    "не найден",
    "не существует",
    "нет данных",
    "нет информации",
    "неверн",
    "заблокир",
    "забанен",
    "приостанов",
    "отключ",
    "неактив",
    "не актив",
    "истек",
    "законч",
    "просроч",
    "не оплач",
    "неоплач",
    "не разреш",
    "запрещ",
    "закрыт",
    "ограничен",
    "недостаточ",
    "не хватает",
    "требуется",
];

/// Nothing answers at the address that we call.
pub const WRONG_ADDRESS: &[Saying] = &[
    Saying {
        of: &[
            "page",
            "path",
            "url",
            "endpoint",
            "method",
            "resource",
            "service",
            "api ",
            "страниц",
            "метод",
            "сервис",
        ],
        says: &[
            "not found",
            "not exist",
            "unknown",
            "not allowed",
            "not supported",
            "не найден",
            "не существует",
        ],
    },
    Saying {
        of: &["no route", "cannot get", "cannot post"],
        says: ANYTHING,
    },
];

/// The whole words of a server that knows no such address.
pub const NOTHING_HERE: &[&str] = &["not found", "404 not found", "method not allowed"];

/// The words name a number.
pub const OF_NUMBER: &[&str] = &[
    "track ",
    "tracking",
    "trackcode",
    "barcode",
    "number",
    "parcel",
    "shipment",
    "waybill",
    "consignment",
    "трек",
    "номер",
    "код не ",
    "коду ",
    "кода ",
    "отправлени",
    "посылк",
    "накладн",
    "заказ",
];

/// The carrier does not know a number.
pub const UNKNOWN_NUMBER: &[Saying] = &[Saying {
    of: OF_NUMBER,
    says: &[
        "not found",
        "no data",
        "no information",
        "no result",
        "not exist",
        "doesn t exist",
        "not known",
        "could not be found",
        "unknown track",
        "unknown number",
        "unknown parcel",
        "unknown shipment",
        "не найден",
        "не обнаружен",
        "не существует",
        "нет данных",
        "нет информации",
        "нет сведений",
        "данные отсутств",
        "информация отсутств",
        "неизвестный трек",
        "неизвестный номер",
    ],
}];

/// No further word is needed.
const ANYTHING: &[&str] = &[""];
