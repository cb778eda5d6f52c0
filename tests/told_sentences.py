"""What `test_what_is_told` expects: code, place and sentence of every reason."""

SENTENCES: dict[str, list[tuple[str, str, str]]] = {
    "not_a_certificate": [("malformed", "", "certificate: has no payloadType, so it is not a DSSE envelope")],
    "unsigned": [
        (
            "no-signature",
            "",
            "the certificate carries no signature, so nobody vouches for it; nothing in it was read",
        )
    ],
    "another_key": [
        (
            "untrusted",
            "",
            "no signature fits a given key: the content was changed after it was signed, or it was signed with another key (given: KEY-ci; the file claims: KEY-other)",
        )
    ],
    "changed_content": [
        (
            "untrusted",
            "",
            "no signature fits a given key: the content was changed after it was signed, or it was signed with another key (given: KEY-ci, KEY-other; the file claims: KEY-ci, KEY-other)",
        )
    ],
    "hostile_hint": [
        (
            "untrusted",
            "",
            "no signature fits a given key: the content was changed after it was signed, or it was signed with another key (given: none; the file claims: unreadable)",
        )
    ],
    "below_the_threshold": [
        (
            "threshold",
            "",
            "1 of the given keys signed and the policy asks for 2 (one key counts once, however often it signed)",
        )
    ],
    "other_payload_type": [
        (
            "payload-type",
            "payloadType",
            "the signed content is 'application/json', not 'application/vnd.in-toto+json'",
        )
    ],
    "endless_payload_type": [
        (
            "payload-type",
            "payloadType",
            "the signed content is 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', not 'application/vnd.in-toto+json'",
        )
    ],
    "other_predicate_type": [
        (
            "predicate-type",
            "predicateType",
            "certificate: has the predicate type 'https://github.com/pytest-prodml/pytest-prodml/predicates/waiver/v1', not 'https://github.com/pytest-prodml/pytest-prodml/predicates/production-readiness/v1'",
        )
    ],
    "broken_statement": [("statement", "", "certificate: is not in canonical form (RFC 8785)")],
    "other_model": [
        (
            "subject-differs",
            "DESK/model.onnx",
            "this is not the artefact that was certified as model.onnx: its sha256 is SHA256-OF-MODEL, the certified one's 603435be58f70de44d8b000a6b88bd937554ec654bc8b2b642b60749aa0a81b9",
        )
    ],
    "wrong_name": [
        (
            "subject-name",
            "DESK/model.onnx",
            "nothing called champion.onnx is certified (certified: model.onnx)",
        )
    ],
    "unreadable_model": [
        (
            "subject-unreadable",
            "DESK/absent.onnx",
            "DESK/absent.onnx: can not be read: No such file or directory",
        )
    ],
    "no_model": [
        (
            "subject-missing",
            "model.onnx",
            "model.onnx is certified too and was not given; give all certified artefacts",
        )
    ],
    "a_companion_is_missing": [
        (
            "subject-missing",
            "vocabulary.txt",
            "vocabulary.txt is certified too and was not given; give all certified artefacts",
        )
    ],
    "none_of_two": [
        (
            "subject-differs",
            "/models/other.onnx",
            "this is none of the certified artefacts (model.onnx, vocabulary.txt): its sha256 is d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa",
        ),
        (
            "subject-missing",
            "vocabulary.txt",
            "vocabulary.txt is certified too and was not given; give all certified artefacts",
        ),
    ],
    "unknown_name_of_two": [
        (
            "subject-name",
            "DESK/vocabulary.txt",
            "nothing called words.txt is certified (certified: model.onnx, vocabulary.txt)",
        ),
        (
            "subject-missing",
            "vocabulary.txt",
            "vocabulary.txt is certified too and was not given; give all certified artefacts",
        ),
    ],
    "one_extra": [
        (
            "subject-differs",
            "extra.bin",
            "this is not the artefact that was certified as model.onnx: its sha256 is d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa, the certified one's SHA256-OF-MODEL",
        )
    ],
    "changed_directory": [
        (
            "subject-differs",
            "DESK/model",
            "this is not the artefact that was certified as model: its sha256 is 527c09334f06ef8078c70e31822eadf585a6698c01464d63a8a91f3788f05c2a, the certified one's 09adeb3192f62eab722b6e7a8caf13fa1fd9f5808425b00b05e9e4585ddc606e (changed: a, missing: b, extra: d)",
        )
    ],
    "very_changed_directory": [
        (
            "subject-differs",
            "DESK/model",
            "this is not the artefact that was certified as model: its sha256 is 7d7d991d85ed4d3e139446ca7549cb1a994808796886cc32078d8345236c04b0, the certified one's fc5b2781bc65746b95c7f8f9f0265d76a070b77c7006e2b4964c7ebddf193d36 (extra: x00, extra: x01, extra: x02, extra: x03, extra: x04, extra: x05, extra: x06, extra: x07, extra: x08, extra: x09, and 2 more)",
        )
    ],
    "eleven_changes": [
        (
            "subject-differs",
            "DESK/model",
            "this is not the artefact that was certified as model: its sha256 is a61b8f93b998c180dbd02d803d2333f83080bf9f83bb2e4f2add73e9900cb8d9, the certified one's fc5b2781bc65746b95c7f8f9f0265d76a070b77c7006e2b4964c7ebddf193d36 (extra: x00, extra: x01, extra: x02, extra: x03, extra: x04, extra: x05, extra: x06, extra: x07, extra: x08, extra: x09, and 1 more)",
        )
    ],
    "file_in_place_of_a_directory": [
        (
            "subject-differs",
            "DESK/model.onnx",
            "this is not the artefact that was certified as model: its sha256 is SHA256-OF-MODEL, the certified one's fc5b2781bc65746b95c7f8f9f0265d76a070b77c7006e2b4964c7ebddf193d36",
        )
    ],
    "ten_changes": [
        (
            "subject-differs",
            "DESK/model",
            "this is not the artefact that was certified as model: its sha256 is 63d6831e283035f7bfb71f10eb6f46d3f60669f96d4397ca00c64690e1edfecb, the certified one's fc5b2781bc65746b95c7f8f9f0265d76a070b77c7006e2b4964c7ebddf193d36 (extra: x00, extra: x01, extra: x02, extra: x03, extra: x04, extra: x05, extra: x06, extra: x07, extra: x08, extra: x09)",
        )
    ],
    "file_for_a_directory": [
        ("subject-kind", "m.txt", "model was certified as a directory; give that, not its manifest")
    ],
    "directory_for_a_file": [
        ("subject-kind", "DESK/model", "m.txt was certified as a file; give that, not its manifest")
    ],
    "too_early": [
        ("not-yet-valid", "issuedAt", "valid from 2026-11-22T09:30:00Z; it is 2026-11-22T08:30:00Z here")
    ],
    "too_late": [
        ("expired", "expiresAt", "expired at 2027-02-20T09:30:00Z; it is 2027-02-20T10:30:00Z here")
    ],
    "too_long_a_window": [
        (
            "window",
            "expiresAt",
            "valid from 2026-11-22T09:30:00Z to 2027-02-20T09:30:00Z, longer than the 89 days that the policy allows",
        )
    ],
    "empty_window": [("window", "expiresAt", "the certificate expires before it begins")],
    "false_outcome": [
        (
            "decision",
            "decision.outcome",
            "the certificate says READY, but its own evidence and policy give NOT_READY",
        ),
        ("policy", "policy", "the policy credit-production 1 is not met"),
        ("policy", "", "1 required gate does not pass: fairness.age"),
        (
            "policy",
            "fairness.age",
            "fairness.age failed: selection_rate_difference = 0.2 [0.18, 0.22], must be at most 0.1",
        ),
    ],
    "false_reasons": [
        (
            "decision",
            "decision",
            "the stated reasons, policy digest or run id do not follow from the evidence",
        ),
        ("not-ready", "decision.outcome", "the certificate records that the model is NOT_READY"),
        ("not-ready", "", "1 required gate does not pass: fairness.age"),
        (
            "not-ready",
            "fairness.age",
            "fairness.age failed: selection_rate_difference = 0.2 [0.18, 0.22], must be at most 0.1",
        ),
    ],
    "record_of_a_bad_model": [
        ("not-ready", "decision.outcome", "the certificate records that the model is NOT_READY"),
        ("not-ready", "", "1 required gate does not pass: fairness.age"),
        (
            "not-ready",
            "fairness.age",
            "fairness.age failed: selection_rate_difference = 0.2 [0.18, 0.22], must be at most 0.1",
        ),
    ],
    "a_stricter_policy_here": [
        ("policy", "policy", "the policy stricter 1 is not met"),
        ("policy", "", "1 required gate does not pass: performance.auc"),
        (
            "policy",
            "performance.auc",
            "performance.auc failed: roc_auc = 0.78 [0.775, 0.785], must be at least 0.9 by the policy's limit",
        ),
    ],
    "a_bad_model_and_a_stricter_policy": [
        ("not-ready", "decision.outcome", "the certificate records that the model is NOT_READY"),
        ("not-ready", "", "1 required gate does not pass: fairness.age"),
        (
            "not-ready",
            "fairness.age",
            "fairness.age failed: selection_rate_difference = 0.2 [0.18, 0.22], must be at most 0.1",
        ),
        ("policy", "policy", "the policy credit-production 1 is not met"),
        ("policy", "", "2 required gates do not pass: fairness.age, performance.auc"),
        (
            "policy",
            "performance.auc",
            "performance.auc is not proven: roc_auc = 0.78 [0.775, 0.785], must be at least 0.776 by the policy's limit: not proven with 9,000 rows",
        ),
    ],
    "a_guard_here": [
        (
            "policy-guard",
            "policy.burden",
            "to be judged here by a policy that asks nobody for proof (burden = violation)",
        )
    ],
    "a_guard_at_the_issue": [
        (
            "policy-guard",
            "policy.burden",
            "issued under a policy that asks nobody for proof (burden = violation)",
        )
    ],
    "false_verdict": [
        ("decision", "fairness.age", "the stated verdict of fairness.age does not follow from its evidence")
    ],
    "left_out_verdict": [
        ("decision", "fairness.age", "the stated verdict of fairness.age does not follow from its evidence")
    ],
    "false_code_by_another_version": [
        ("decision", "fairness.age", "the stated verdict of fairness.age does not follow from its evidence")
    ],
    "a_page_of_another_certificate": [
        (
            "html-mismatch",
            "renderings",
            "the certificate in this page names no page, so nothing vouches for what it shows",
        )
    ],
    "waiver_expired": [
        ("waiver-expired", "w-1", "the waiver for fairness.age expired at 2026-12-22T09:30:00Z")
    ],
    "waiver_not_begun": [
        ("waiver-expired", "w-1", "the waiver for fairness.age begins at 2026-11-22T09:30:00Z")
    ],
    "waiver_untrusted": [
        (
            "waiver-untrusted",
            "w-1",
            "the waiver for fairness.age is not signed by an approver whose key was given",
        )
    ],
    "waiver_self_approved": [
        (
            "waiver-self-approved",
            "w-1",
            "the waiver for fairness.age is signed with a key that also signed the certificate; another must approve it",
        )
    ],
    "waiver_not_allowed": [
        ("policy", "policy", "the policy credit-production 1 is not met"),
        ("policy", "", "1 required gate does not pass: fairness.age"),
        (
            "policy",
            "fairness.age",
            "fairness.age failed: selection_rate_difference = 0.2 [0.18, 0.22], must be at most 0.1",
        ),
        ("waiver-not-allowed", "w-1", "the policy lets nobody waive fairness.age"),
    ],
    "waiver_too_long": [
        ("policy", "policy", "the policy credit-production 1 is not met"),
        ("policy", "", "1 required gate does not pass: fairness.age"),
        (
            "policy",
            "fairness.age",
            "fairness.age failed: selection_rate_difference = 0.2 [0.18, 0.22], must be at most 0.1",
        ),
        (
            "waiver-not-allowed",
            "w-1",
            "the waiver for fairness.age lasts longer than the 30 days that the policy allows",
        ),
    ],
    "waiver_of_another_model": [
        ("not-ready", "decision.outcome", "the certificate records that the model is NOT_READY"),
        ("not-ready", "", "1 required gate does not pass: fairness.age"),
        (
            "not-ready",
            "fairness.age",
            "fairness.age failed: selection_rate_difference = 0.2 [0.18, 0.22], must be at most 0.1",
        ),
        (
            "waiver-not-allowed",
            "w-1",
            "the waiver for fairness.age was given for another model (sha256 bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb)",
        ),
    ],
    "waiver_by_name": [
        ("policy", "policy", "the policy credit-production 1 is not met"),
        ("policy", "", "1 required gate does not pass: fairness.age"),
        (
            "policy",
            "fairness.age",
            "fairness.age failed: selection_rate_difference = 0.2 [0.18, 0.22], must be at most 0.1",
        ),
        (
            "waiver-not-allowed",
            "w-1",
            "the waiver for fairness.age is given by name, and the policy takes none of that form",
        ),
    ],
    "no_waiver_at_all": [("statement", "", "waivers[0]: has no payloadType, so it is not a DSSE envelope")],
    "one_waiver_lost_and_one_not_allowed": [
        ("waiver-expired", "w-1", "the waiver for fairness.age expired at 2026-12-22T09:30:00Z"),
        ("waiver-not-allowed", "w-2", "the policy lets nobody waive pipeline.parity"),
    ],
    "one_waiver_not_allowed_is_enough_to_refuse": [
        ("policy", "policy", "the policy credit-production 1 is not met"),
        ("policy", "", "1 required gate does not pass: fairness.age"),
        (
            "policy",
            "fairness.age",
            "fairness.age failed: selection_rate_difference = 0.2 [0.18, 0.22], must be at most 0.1",
        ),
        (
            "waiver-not-allowed",
            "w-1",
            "the waiver for fairness.age lasts longer than the 30 days that the policy allows",
        ),
    ],
    "plain_keys_and_a_list_with_one": [
        (
            "untrusted",
            "",
            "no signature fits a given key: the content was changed after it was signed, or it was signed with another key (given: KEY-other; the file claims: KEY-ci)",
        )
    ],
    "plain_approvers_and_a_list_with_one": [
        (
            "waiver-untrusted",
            "w-1",
            "the waiver for fairness.age is not signed by an approver whose key was given",
        )
    ],
    "role_missing": [
        (
            "role",
            "platform",
            "0 of the keys of the role platform signed and 1 must have (one key counts once, however often it signed)",
        )
    ],
    "nobody_of_the_trust_root": [
        (
            "untrusted",
            "",
            "no signature fits a given key: the content was changed after it was signed, or it was signed with another key (given: KEY-ds, KEY-ci; the file claims: KEY-other)",
        )
    ],
    "key_out_of_window": [
        (
            "key-validity",
            "platform",
            "0 of the keys of the role platform signed and 1 must have; outside of its window now: ci",
        )
    ],
    "key_revoked": [
        ("revoked", "platform", "0 of the keys of the role platform signed and 1 must have; revoked: ci")
    ],
    "one_revoked_and_one_closed": [
        ("revoked", "platform", "0 of the keys of the role platform signed and 1 must have; revoked: ci")
    ],
    "more_than_the_roles": [("threshold", "", "2 trusted keys signed and the policy asks for 3")],
    "certificate_revoked": [
        (
            "revoked",
            "5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c11",
            "the certificate 5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c11 was revoked at 2026-11-22T09:30:00Z: key was stolen",
        ),
        (
            "revoked",
            "7",
            "the certificate 7 of credit-default was revoked at 2026-11-22T09:30:00Z: key was stolen",
        ),
        (
            "revoked",
            "SHA256-OF-MODEL",
            "the artefact model.onnx was revoked at 2026-11-22T09:30:00Z: key was stolen",
        ),
    ],
    "waiver_revoked": [("waiver-revoked", "w-1", "the waiver for fairness.age was revoked: key was stolen")],
    "approver_revoked": [
        (
            "waiver-untrusted",
            "w-1",
            "the waiver for fairness.age is not signed by an approver whose key was given",
        )
    ],
    "approver_out_of_window": [
        (
            "waiver-untrusted",
            "w-1",
            "the waiver for fairness.age is not signed by an approver whose key was given",
        )
    ],
    "list_missing": [
        ("revocation-missing", "", "the trust root asks for a revocation list, and none was given")
    ],
    "list_not_there": [
        ("revocation-missing", "DESK/absent.json", "can not be read: No such file or directory")
    ],
    "list_by_plain_http": [
        ("revocation-missing", "http://localhost/list", "only a file or an https address is read")
    ],
    "list_too_old": [
        ("revocation-stale", "", "the revocation list 1 of 2026-11-19T09:30:00Z is older than 24 hours")
    ],
    "list_from_the_future": [
        (
            "revocation-stale",
            "",
            "the revocation list 1 of 2026-11-22T10:30:00Z lies in the future; it is 2026-11-22T09:31:00Z here",
        )
    ],
    "list_overdue": [
        (
            "revocation-stale",
            "",
            "the revocation list 1 of 2026-11-22T07:30:00Z should have been followed by another at 2026-11-22T09:30:00Z",
        )
    ],
    "list_by_somebody_else": [
        (
            "revocation-untrusted",
            "DESK/revocations.json",
            "no key that may sign revocation lists signed this one",
        )
    ],
    "list_that_is_none": [
        (
            "revocation-untrusted",
            "DESK/list.json",
            "DESK/list.json: has the payload type 'application/vnd.in-toto+json', not 'application/vnd.pytest-prodml.revocations.v1+json'",
        )
    ],
    "unsound_list": [
        (
            "revocation-untrusted",
            "DESK/raw.json",
            "DESK/raw.json: is not a sound revocation list\n  expected a version from 1 on @ $.version\n  expected 64 lowercase hexadecimal digits @ $.entries[0]\n  expected 64 lowercase hexadecimal digits @ $.entries[1]\n  expected 64 lowercase hexadecimal digits @ $.entries[2]\n  expected 64 lowercase hexadecimal digits @ $.entries[3]\n  expected 64 lowercase hexadecimal digits @ $.entries[4]\n  expected 64 lowercase hexadecimal digits @ $.entries[5]\n  expected 64 lowercase hexadecimal digits @ $.entries[6]\n  expected 64 lowercase hexadecimal digits @ $.entries[7]\n  expected 64 lowercase hexadecimal digits @ $.entries[8]\n  expected 64 lowercase hexadecimal digits @ $.entries[9]\n  expected 64 lowercase hexadecimal digits @ $.entries[10]\n  expected 64 lowercase hexadecimal digits @ $.entries[11]\n  expected 64 lowercase hexadecimal digits @ $.entries[12]\n  expected 64 lowercase hexadecimal digits @ $.entries[13]\n  expected 64 lowercase hexadecimal digits @ $.entries[14]\n  expected 64 lowercase hexadecimal digits @ $.entries[15]\n  expected 64 lowercase hexadecimal digits @ $.entries[16]\n  expected 64 lowercase hexadecimal digits @ $.entries[17]\n  expected 64 lowercase hexadecimal digits @ $.entries[18]",
        )
    ],
    "list_against_its_signer": [
        ("revocation-untrusted", "DESK/raw.json", "the list revokes every key that signed it")
    ],
    "list_that_is_no_envelope": [
        ("revocation-untrusted", "DESK/model.onnx", "DESK/model.onnx: is not UTF-8 (byte 132)")
    ],
    "older_list": [
        ("revocation-rollback", "DESK/revocations.json", "this is list 2, and 3 was accepted here before")
    ],
    "another_list_of_one_version": [
        (
            "revocation-rollback",
            "DESK/revocations.json",
            "another list of the same version 3 was accepted here before",
        )
    ],
    "trust_root_expired": [
        (
            "trust-expired",
            "DESK/trust.toml",
            "the trust root expired at 2026-11-22T09:31:00Z; it is 2026-11-22T09:31:00Z here",
        )
    ],
    "older_trust_root": [
        (
            "trust-rollback",
            "DESK/trust.toml",
            "this is version 2 of the trust root, and 3 was accepted here before",
        )
    ],
    "another_trust_root_of_one_version": [
        (
            "trust-rollback",
            "DESK/trust.toml",
            "another trust root of the same version 1 was accepted here before",
        )
    ],
    "trust_root_by_somebody_else": [
        (
            "trust-root",
            "DESK/trust-1-other.json",
            "0 of the root keys that are believed here signed the trust root, and 1 must have",
        )
    ],
    "trust_root_with_too_few_of_its_own": [
        (
            "trust-root",
            "DESK/trust-1-root.json",
            "1 of its own root keys signed the trust root, and 2 must have",
        )
    ],
    "state_missing": [("state", "", "the trust root asks for a state file, and none was given")],
    "no_serial": [
        ("no-serial", "serial", "the certificate has no serial, so an old one could pass for a new one")
    ],
    "issued_too_early": [
        (
            "issued-too-early",
            "issuedAt",
            "issued at 2026-11-22T09:30:00Z, and the trust root accepts nothing from before 2026-11-22T09:30:01Z",
        )
    ],
    "policies_not_accepted": [
        (
            "policy-not-accepted",
            "policy",
            "the trust root does not accept the policy given here (sha256 9ff47548a16c1a129dd0e8401db29c4d2d550379b5b7a4f994389a9afa734a79)",
        ),
        (
            "policy-not-accepted",
            "policy",
            "the trust root does not accept the policy of the issue (sha256 9ff47548a16c1a129dd0e8401db29c4d2d550379b5b7a4f994389a9afa734a79)",
        ),
    ],
    "replayed": [
        (
            "replay",
            "serial",
            "the certificate 5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c11 of credit-default was accepted here before with serial 8, and this one has 7",
        )
    ],
    "replayed_without_a_serial": [
        (
            "replay",
            "serial",
            "the certificate 5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c11 of credit-default was accepted here before with serial 8, and this one has none",
        )
    ],
    "replayed_by_time": [
        (
            "replay",
            "serial",
            "the certificate 5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c11 of credit-default was accepted here before, and this one was not issued later",
        )
    ],
    "unreadable_state": [("state", "DESK/state.json", "the state can not be read: is not a valid State")],
    "future_state": [("state", "DESK/state.json", "the state has the format 2, and this version reads 1")],
    "state_open_to_others": [
        ("state", "DESK/state.json", "the state can be written by others than its owner")
    ],
    "state_in_no_folder": [
        ("state", "DESK/absent/state.json", "can not be locked: No such file or directory")
    ],
    "signer_without_a_role": [
        ("role", "", "the key KEY-risk has no role in the trust root that signs certificates")
    ],
    "signer_out_of_window": [("key-validity", "", "the key ci is outside of its window now")],
    "signer_over_a_foreign_signature": [
        (
            "untrusted",
            "signatures[1]",
            "a signature that is there is by no known key, or over another content; give the trust root or the public keys of those who signed before",
        )
    ],
    "signer_of_a_bad_model": [
        ("not-ready", "decision.outcome", "the certificate records that the model is NOT_READY"),
        ("not-ready", "", "1 required gate does not pass: fairness.age"),
        (
            "not-ready",
            "fairness.age",
            "fairness.age failed: selection_rate_difference = 0.2 [0.18, 0.22], must be at most 0.1",
        ),
    ],
    "signer_under_an_expired_trust_root": [
        (
            "trust-expired",
            "DESK/trust.toml",
            "the trust root expired at 2026-11-22T09:31:00Z; it is 2026-11-22T09:31:00Z here",
        )
    ],
    "signer_without_a_list": [
        ("revocation-missing", "", "the trust root asks for a revocation list, and none was given")
    ],
    "signer_revoked": [("revoked", "ci", "the key ci was revoked")],
    "signer_of_a_revoked_model": [
        (
            "revoked",
            "SHA256-OF-MODEL",
            "the artefact model.onnx was revoked at 2026-11-22T09:30:00Z: key was stolen",
        )
    ],
    "signer_who_approved_the_waiver": [
        (
            "waiver-self-approved",
            "w-1",
            "the waiver for fairness.age is signed with a key that also signed the certificate; another must approve it",
        )
    ],
    "signer_of_something_else": [("statement", "", "certificate: is not an in-toto Statement v1")],
    "signer_with_plain_keys": [
        (
            "untrusted",
            "signatures[0]",
            "a signature that is there is by no known key, or over another content; give the trust root or the public keys of those who signed before",
        )
    ],
    "trust_root_full_of_mistakes": [
        (
            "ConfigurationError",
            "",
            "DESK/trust.toml: is not a usable trust root\n  expected a version from 1 on @ $.version\n  asks for 2 signatures and 1 keys have the role @ $.roles.data-science\n  asks for 0 signatures and 1 keys have the role @ $.roles.platform\n  asks for 1 signatures and 0 keys have the role @ $.roles.audit\n  the role 'platform' signs certificates; this needs a role of its own @ $.waivers.role\n  no key has the role 'nobody' @ $.revocation.role\n  expected 1 to 8784 hours @ $.revocation.max_age_hours\n  the window ends before it begins @ $.keys.ds.valid_until\n  the role 'risk' is none of audit, data-science, nobody, platform @ $.keys.risk.role\n  the role 'security' is none of audit, data-science, nobody, platform @ $.keys.sec.role\n  expected a sha256 of 64 lowercase hexadecimal digits @ $.gate_policies[1]\n  expected a sha256 of 64 lowercase hexadecimal digits @ $.certificate_policies[0]\n  this version reads https://github.com/pytest-prodml/pytest-prodml/predicates/production-readiness/v1 only, which is not listed @ $.predicate_types",
        )
    ],
    "trust_root_without_roles": [
        (
            "ConfigurationError",
            "",
            "DESK/trust.toml: is not a usable trust root\n  expected a version from 1 on @ $.version\n  names no role, so nobody could sign @ $.roles",
        )
    ],
    "one_key_in_two_roles": [
        (
            "ConfigurationError",
            "",
            "DESK/trust.toml: is not a usable trust root\n  ci and again are the same key, in the role platform @ $.keys.again\n  ci and copy are the same key, in roles platform and risk @ $.keys.copy",
        )
    ],
    "keys_that_can_not_be_read": [
        (
            "ConfigurationError",
            "",
            "DESK/trust.toml: is not a usable trust root\n  DESK/absent.pub: can not be read: No such file or directory @ $.keys.ci\n  expected public_key or file, and one of them @ $.keys.extra\n  DESK/gone.pub: can not be read: No such file or directory @ $.root.keys[0]",
        )
    ],
    "keys_that_are_none": [
        (
            "ConfigurationError",
            "",
            "DESK/trust.toml: is not a usable trust root\n  is not one public key in PEM (found: no PEM block) @ $.keys.ci\n  is not one public key in PEM (found: no PEM block) @ $.root.keys[0]\n  asks for 1 root signatures and 0 different keys are given @ $.root",
        )
    ],
    "too_few_root_keys": [
        (
            "ConfigurationError",
            "",
            "DESK/trust.toml: is not a usable trust root\n  asks for 2 root signatures and 1 different keys are given @ $.root",
        )
    ],
    "no_root_threshold": [
        (
            "ConfigurationError",
            "",
            "DESK/trust.toml: is not a usable trust root\n  asks for 0 root signatures and 1 different keys are given @ $.root",
        )
    ],
    "a_root_key_with_a_role": [
        (
            "ConfigurationError",
            "",
            "DESK/trust.toml: is not a usable trust root\n  is a root key too; a root key signs nothing else @ $.keys.ci",
        )
    ],
    "unsigned_with_a_pin": [
        (
            "ConfigurationError",
            "",
            "DESK/trust.toml: is not signed, and root keys were given\n  sign it with `prodml trust sign`",
        )
    ],
    "signed_without_a_pin": [
        (
            "ConfigurationError",
            "",
            "DESK/trust-1-root.json: is signed, and no root key was given to check that\n  give --root PUB",
        )
    ],
    "too_long_a_file": [("ConfigurationError", "", "DESK/trust.toml: has more than 1,048,576 bytes")],
    "no_file": [("ConfigurationError", "", "DESK/absent.toml: can not be read: No such file or directory")],
    "nothing_to_sign": [
        ("ConfigurationError", "", "DESK/trust.toml: a signed trust root needs `expires` and `root`")
    ],
    "a_pin_that_can_not_be_met": [("ConfigurationError", "", "2 of 1 given root keys can not have signed")],
    "a_pin_of_nobody": [("ConfigurationError", "", "1 of 0 given root keys can not have signed")],
    "roots_without_a_trust_root": [
        (
            "ConfigurationError",
            "",
            "root keys vouch for a trust root, and none was given\n  give --trust FILE",
        )
    ],
    "a_threshold_without_a_trust_root": [
        (
            "ConfigurationError",
            "",
            "root keys vouch for a trust root, and none was given\n  give --trust FILE",
        )
    ],
    "a_list_without_a_trust_root": [
        (
            "ConfigurationError",
            "",
            "a revocation list needs a trust root that says who signs it\n  give --trust FILE",
        )
    ],
    "keys_beside_a_trust_root": [
        (
            "ConfigurationError",
            "",
            "--trust: the trust root lists every key that counts; give it, or keys, and not both",
        )
    ],
    "approvers_beside_a_trust_root": [
        (
            "ConfigurationError",
            "",
            "--trust: the trust root lists every key that counts; give it, or keys, and not both",
        )
    ],
    "a_list_that_no_role_signs": [
        ("ConfigurationError", "", "DESK/trust.toml: names no role that signs revocation lists")
    ],
    "a_list_full_of_mistakes": [
        (
            "InputError",
            "",
            "revocation list: can not be signed\n  expected a version from 1 on @ $.version\n  the next update lies before the list itself @ $.nextUpdate\n  expected 64 lowercase hexadecimal digits @ $.entries[0]\n  expected 64 lowercase hexadecimal digits @ $.entries[1]\n  a serial, and nothing else, needs a model name @ $.entries[2]\n  the serial is not a number @ $.entries[3]\n  the serial is not a number @ $.entries[4]\n  a serial, and nothing else, needs a model name @ $.entries[5]\n  the value is empty @ $.entries[6]\n  the reason is empty @ $.entries[7]",
        )
    ],
    "a_list_against_its_signer": [
        (
            "InputError",
            "",
            "revocation list: a list does not count if it revokes the key that signs it\n  sign with another key of the role, and take this one out of the trust root",
        )
    ],
    "a_foreign_list": [
        (
            "InputError",
            "",
            "list.json: is not signed with a known key, so it is not extended\n  give the trust root (--trust), or the key that signed it",
        )
    ],
    "a_second_signature": [
        ("SigningKeyError", "", "the key KEY-ds has signed already, and a key counts once")
    ],
}
