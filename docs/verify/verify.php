<?php

// Verifies a webhook of Emailgistics. PHP 8 without packages; copy this file.
//
//   $event = emailgistics_verify(getallheaders(), file_get_contents('php://input'), $secret);   // throws

const EMAILGISTICS_TOLERANCE_S = 300;
const EMAILGISTICS_PREFIX = 'whsec_';
const EMAILGISTICS_MIN_KEY_BYTES = 24;

/**
 * The event. $body is the octets as received; several secrets may be given while one is exchanged for another.
 *
 * @param array<string, string> $headers with names in any case
 * @param string|list<string>|false $secret false, which getenv() answers, is no secret and refused
 * @return array<string, mixed>
 */
function emailgistics_verify(array $headers, string $body, string|array|false $secret, ?int $now = null): array
{
    $keys = array_map('emailgistics_key', is_array($secret) ? $secret : [$secret]);
    $received = array_change_key_case($headers, CASE_LOWER);
    $timestamp = $received['webhook-timestamp'] ?? '';
    if (!preg_match('/\A[0-9]{1,11}\z/', $timestamp)) {
        throw new RuntimeException('webhook-timestamp is missing or no number');
    }
    $signed = ($received['webhook-id'] ?? '') . '.' . $timestamp . '.' . $body;
    $isRight = false;
    // one for each secret that counts at the sender; all are compared, each in constant time
    foreach ($keys as $key) {
        $expected = 'v1,' . base64_encode(hash_hmac('sha256', $signed, $key, true));
        foreach (explode(' ', $received['webhook-signature'] ?? '') as $given) {
            $isRight = hash_equals($expected, $given) || $isRight;
        }
    }
    if (!$isRight) {
        throw new RuntimeException('no signature in webhook-signature is right');
    }
    if (abs(($now ?? time()) - (int) $timestamp) > EMAILGISTICS_TOLERANCE_S) {
        throw new RuntimeException('webhook-timestamp is more than 5 minutes off');
    }
    return json_decode($body, true, 512, JSON_THROW_ON_ERROR);
}

/**
 * The simpler way, by x-webhook-signature: it says nothing of the time, so it does not see a replay. Throws if no
 * secret is configured.
 *
 * @param array<string, string> $headers
 */
function emailgistics_verify_body(array $headers, string $body, string|false $secret): bool
{
    emailgistics_key($secret);
    $given = array_change_key_case($headers, CASE_LOWER)['x-webhook-signature'] ?? '';
    return hash_equals(hash_hmac('sha256', $body, $secret), $given);
}

/** The octets of a secret. Throws if it is none. */
function emailgistics_key(string|false $secret): string
{
    $text = (string) $secret;
    $encoded = str_starts_with($text, EMAILGISTICS_PREFIX) ? substr($text, strlen(EMAILGISTICS_PREFIX)) : '';
    $key = (string) base64_decode($encoded, true);
    // anybody can sign with the empty key, which is what a variable that is not set, or a placeholder, would become
    if (strlen($key) < EMAILGISTICS_MIN_KEY_BYTES || base64_encode($key) !== $encoded) {
        throw new RuntimeException('no secret is configured: it is whsec_ and at least 24 octets in base64');
    }
    return $key;
}
