//! The words for where a parcel is: status, sub-status and direction.
//!
//! On the wire and in the store they are their names in upper snake case. An unknown word reads as
//! [`Status::Unknown`], never as a likely guess.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

/// Defines a closed list of words: the enum, its names on the wire, and the way back.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[derive(strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        #[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
        pub enum $name {
            $($(#[$word_doc])* $word,)+
        }

        impl $name {
            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                self.into()
            }

            /// The word with exactly this name on the wire.
            pub fn parse(name: &str) -> Option<Self> {
                name.parse().ok()
            }
        }
    };
}

words! {
    /// Where a parcel is.
    #[derive(Default)]
    Status {
        /// Nothing is known yet, or the carrier's code is not mapped.
        #[default]
        Unknown,
        /// The carrier does not know the number yet.
        Pending,
        /// The carrier has the shipment's data, not the parcel.
        InfoReceived,
        InTransit,
        OutForDelivery,
        AvailableForPickup,
        /// With the addressee. A parcel that is back with the sender is `RETURNED`.
        Delivered,
        /// A delivery attempt failed; another may follow.
        AttemptFailed,
        Exception,
        /// On its way back to the sender.
        Returning,
        /// Back with the sender.
        Returned,
        Cancelled,
        /// There was no news for so long that checking ended.
        Expired,
    }
}

impl Status {
    /// Its number in the store. It never changes; a new status gets the next one.
    pub fn code(self) -> i16 {
        match self {
            Self::Unknown => 0,
            Self::Pending => 1,
            Self::InfoReceived => 2,
            Self::InTransit => 3,
            Self::OutForDelivery => 4,
            Self::AvailableForPickup => 5,
            Self::Delivered => 6,
            Self::AttemptFailed => 7,
            Self::Exception => 8,
            Self::Returning => 9,
            Self::Returned => 10,
            Self::Cancelled => 11,
            Self::Expired => 12,
        }
    }

    /// The status of that number; one of a newer program reads as unknown.
    pub fn from_code(code: i16) -> Self {
        let known = Self::VARIANTS.iter().find(|status| status.code() == code);
        known.copied().unwrap_or_default()
    }

    /// Whether no more news is expected, so that checking ends.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Delivered | Self::Returned | Self::Cancelled | Self::Expired
        )
    }
}

words! {
    /// Which way the parcel travels.
    Direction {
        Forward,
        Return,
    }
}

words! {
    /// The detail of a status: the union of what the big aggregators distinguish
    /// (AfterShip subtags, 17TRACK sub statuses, EasyPost status details, Karrio reasons; read November 2026).
    SubStatus {
        PendingNotFound,
        PendingInvalidNumber,
        PendingOldHistory,
        InfoReceivedLabelCreated,
        InfoReceivedAwaitingParcel,
        InTransitAccepted,
        InTransitArrived,
        InTransitDeparted,
        InTransitArrivedAtDestinationCountry,
        InTransitArrivedAtDestination,
        InTransitExported,
        InTransitImported,
        InTransitSorted,
        InTransitCustomsProcessing,
        InTransitCustomsCleared,
        InTransitCustomsInformationRequired,
        InTransitTransferredToCarrier,
        InTransitForwarded,
        InTransitProblemResolved,
        OutForDeliveryWithCourier,
        OutForDeliveryAppointment,
        AvailableForPickupAtPoint,
        AvailableForPickupInLocker,
        AttemptFailedAddresseeNotAvailable,
        AttemptFailedBusinessClosed,
        AttemptFailedAccessRestricted,
        AttemptFailedInvalidAddress,
        AttemptFailedRefused,
        AttemptFailedVerification,
        DeliveredToAddressee,
        DeliveredAtPickupPoint,
        DeliveredSigned,
        DeliveredCodReceived,
        DeliveredToNeighbour,
        DeliveredToSafePlace,
        ExceptionMoved,
        ExceptionRefused,
        ExceptionCustomsDelay,
        ExceptionCustomsDocumentation,
        ExceptionCustomsDutiesUnpaid,
        ExceptionDelayed,
        ExceptionWeatherDelay,
        ExceptionHeldForPayment,
        ExceptionHeld,
        ExceptionInvalidAddress,
        ExceptionPickupMissed,
        ExceptionRejectedByCarrier,
        ExceptionMissorted,
        ExceptionDamaged,
        ExceptionLost,
        ExceptionDestroyed,
        ExceptionSeized,
        ExceptionSecurity,
        ExceptionNobodyFound,
        ReturningStorageExpired,
        ReturningRefused,
        ReturningUndeliverable,
        ReturnedToSender,
        CancelledBySender,
        CancelledByCarrier,
        ExpiredNoNews,
    }
}

impl SubStatus {
    /// The status this word refines.
    pub fn status(self) -> Status {
        // At most one matches: a test holds that no status name is another one followed by `_`.
        Status::VARIANTS
            .iter()
            .copied()
            .find(|status| {
                self.as_str()
                    .strip_prefix(status.as_str())
                    .is_some_and(|rest| rest.starts_with('_'))
            })
            .unwrap_or(Status::Unknown)
    }
}

/// A status with its detail.
pub type Meant = (Status, Option<SubStatus>);

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::{Direction, Status, SubStatus};

    #[test]
    fn every_word_reads_back_as_itself() {
        for status in Status::VARIANTS {
            assert_eq!(Status::parse(status.as_str()), Some(*status));
        }
        for sub_status in SubStatus::VARIANTS {
            assert_eq!(SubStatus::parse(sub_status.as_str()), Some(*sub_status));
        }
        for direction in Direction::VARIANTS {
            assert_eq!(Direction::parse(direction.as_str()), Some(*direction));
        }
        assert_eq!(Status::parse("delivered"), None);
    }

    #[test]
    fn every_sub_status_refines_exactly_one_status() {
        for sub_status in SubStatus::VARIANTS {
            let of = Status::VARIANTS
                .iter()
                .filter(|status| sub_status.as_str().starts_with(&format!("{status}_")))
                .count();
            assert_eq!(of, 1, "{sub_status}");
            assert_ne!(sub_status.status(), Status::Unknown);
        }
    }

    fn written<T: Copy + Into<&'static str>>(words: &[T]) -> String {
        let words: Vec<&str> = words.iter().map(|word| (*word).into()).collect();
        words.join(" ")
    }

    /// A word that changes can no longer be read from the store or by other systems.
    #[test]
    fn the_words_are_those_on_the_wire_and_in_the_store() {
        let status = "UNKNOWN PENDING INFO_RECEIVED IN_TRANSIT OUT_FOR_DELIVERY AVAILABLE_FOR_PICKUP DELIVERED \
         ATTEMPT_FAILED EXCEPTION RETURNING RETURNED CANCELLED EXPIRED";
        let direction = "FORWARD RETURN";
        let sub_status = "PENDING_NOT_FOUND PENDING_INVALID_NUMBER PENDING_OLD_HISTORY INFO_RECEIVED_LABEL_CREATED \
         INFO_RECEIVED_AWAITING_PARCEL \
         IN_TRANSIT_ACCEPTED IN_TRANSIT_ARRIVED IN_TRANSIT_DEPARTED \
         IN_TRANSIT_ARRIVED_AT_DESTINATION_COUNTRY IN_TRANSIT_ARRIVED_AT_DESTINATION IN_TRANSIT_EXPORTED \
         IN_TRANSIT_IMPORTED IN_TRANSIT_SORTED IN_TRANSIT_CUSTOMS_PROCESSING IN_TRANSIT_CUSTOMS_CLEARED \
         IN_TRANSIT_CUSTOMS_INFORMATION_REQUIRED IN_TRANSIT_TRANSFERRED_TO_CARRIER IN_TRANSIT_FORWARDED \
         IN_TRANSIT_PROBLEM_RESOLVED OUT_FOR_DELIVERY_WITH_COURIER OUT_FOR_DELIVERY_APPOINTMENT \
         AVAILABLE_FOR_PICKUP_AT_POINT AVAILABLE_FOR_PICKUP_IN_LOCKER ATTEMPT_FAILED_ADDRESSEE_NOT_AVAILABLE \
         ATTEMPT_FAILED_BUSINESS_CLOSED ATTEMPT_FAILED_ACCESS_RESTRICTED ATTEMPT_FAILED_INVALID_ADDRESS \
         ATTEMPT_FAILED_REFUSED ATTEMPT_FAILED_VERIFICATION DELIVERED_TO_ADDRESSEE DELIVERED_AT_PICKUP_POINT \
         DELIVERED_SIGNED DELIVERED_COD_RECEIVED DELIVERED_TO_NEIGHBOUR DELIVERED_TO_SAFE_PLACE \
         EXCEPTION_MOVED EXCEPTION_REFUSED EXCEPTION_CUSTOMS_DELAY EXCEPTION_CUSTOMS_DOCUMENTATION \
         EXCEPTION_CUSTOMS_DUTIES_UNPAID EXCEPTION_DELAYED EXCEPTION_WEATHER_DELAY \
         EXCEPTION_HELD_FOR_PAYMENT EXCEPTION_HELD EXCEPTION_INVALID_ADDRESS EXCEPTION_PICKUP_MISSED \
         EXCEPTION_REJECTED_BY_CARRIER EXCEPTION_MISSORTED EXCEPTION_DAMAGED EXCEPTION_LOST \
         EXCEPTION_DESTROYED EXCEPTION_SEIZED EXCEPTION_SECURITY EXCEPTION_NOBODY_FOUND \
         RETURNING_STORAGE_EXPIRED RETURNING_REFUSED RETURNING_UNDELIVERABLE RETURNED_TO_SENDER \
         CANCELLED_BY_SENDER CANCELLED_BY_CARRIER EXPIRED_NO_NEWS";
        assert_eq!(written(Status::VARIANTS), status);
        assert_eq!(written(Direction::VARIANTS), direction);
        assert_eq!(written(SubStatus::VARIANTS), sub_status);
        for word in SubStatus::VARIANTS {
            assert_eq!(serde_json::json!(word), serde_json::json!(word.as_str()));
        }
    }
}
