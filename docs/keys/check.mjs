// Says whether a text has the form of an Emailgistics API key. JavaScript without packages; copy this file.
//
//   const identifier = check(text);   // throws NotAKeyError, whose reason is prefix, length, alphabet or checksum
//
// It asks nobody: whether a key is in force, only its installation knows.

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX = "emgk_";
const IDENTIFIER_LENGTH = 15;
const CHECKSUM_LENGTH = 6;
const LENGTH = 54;

// The message quotes nothing of the text, which may be a key with a typo in it.
export class NotAKeyError extends Error {
  constructor(reason) {
    super(`not a key: ${reason}`);
    this.reason = reason;
  }
}

// The identifier, which is no secret.
export function check(text) {
  if (!text.startsWith(PREFIX)) {
    throw new NotAKeyError("prefix");
  }
  // by characters: text.length counts some of them twice
  if (Array.from(text).length !== LENGTH) {
    throw new NotAKeyError("length");
  }
  if (!/^emgk_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}$/.test(text)) {
    throw new NotAKeyError("alphabet");
  }
  if (checksum(text.slice(0, -CHECKSUM_LENGTH)) !== text.slice(-CHECKSUM_LENGTH)) {
    throw new NotAKeyError("checksum");
  }
  return text.slice(0, IDENTIFIER_LENGTH);
}

// CRC-32 (as in zip and PNG) of the ASCII octets, in base 62, the most significant digit first.
export function checksum(text) {
  let number = crc32(text);
  let digits = "";
  for (let place = 0; place < CHECKSUM_LENGTH; place++) {
    digits = ALPHABET[number % ALPHABET.length] + digits;
    number = Math.floor(number / ALPHABET.length);
  }
  return digits;
}

function crc32(text) {
  let remainder = 0xffffffff;
  for (let index = 0; index < text.length; index++) {
    remainder ^= text.charCodeAt(index);
    for (let bit = 0; bit < 8; bit++) {
      remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0);
    }
  }
  return (remainder ^ 0xffffffff) >>> 0;
}
