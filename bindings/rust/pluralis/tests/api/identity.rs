use pluralis::*;

use crate::support::*;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    }
    bytes
}

#[test]
fn rfc_8032_test_2() {
    let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let key = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let signature = hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    let identity = Identity::new(&context(), &seed).unwrap();
    assert_eq!(identity.public_key(), key);
    assert_eq!(identity.sign(&[0x72]), signature);
    verify(&key, &[0x72], &signature).unwrap();
}

#[test]
fn what_does_not_verify() {
    let identity = Identity::new(&context(), &[7; 32]).unwrap();
    let key = identity.public_key();
    let signature = identity.sign(b"");
    verify(&key, b"", &signature).unwrap();
    refused(Status::SIGNATURE, verify(&key, b"x", &signature));
    let mut other = signature;
    other[40] ^= 1;
    refused(Status::SIGNATURE, verify(&key, b"", &other));
    refused(Status::SIGNATURE, verify(&[0; 32], b"", &signature));
}

#[test]
fn account_is_a_hash_of_the_key() {
    let identity = Identity::new(&context(), &[7; 32]).unwrap();
    let key = identity.public_key();
    let account = Hash::of(&[b"pluralis.account/v1", &key[..]].concat());
    assert_eq!(account_id(&key), account);
    assert_eq!(identity.account(), account);
}
