<?php

// Verifies a webhook of Emailgistics. PHP 8 without packages; copy this file.
//
//   $event = emailgistics_verify(getallheaders(), file_get_contents('php://input'), $secret);   // throws

const EMAILGISTICS_TOLERANCE_S = 300;

/**
 * The event. $body is the octets as received; several secrets may be given while one is exchanged for another.
 *
 * @param array<string, string> $headers with names in any case
 * @param string|list<string> $secret
 * @return array<string, mixed>
 */
function emailgistics_verify(array $headers, string $body, string|array $secret, ?int $now = null): array
{
    $received = array_change_key_case($headers, CASE_LOWER);
    $timestamp = $received['webhook-timestamp'] ?? '';
    if (!preg_match('/\A[0-9]{1,11}\z/', $timestamp)) {
        throw new RuntimeException('webhook-timestamp is missing or no number');
    }
    $signed = ($received['webhook-id'] ?? '') . '.' . $timestamp . '.' . $body;
    $isRight = false;
    // one for each secret that counts at the sender; all are compared, each in constant time
    foreach ((array) $secret as $each) {
        $key = base64_decode(preg_replace('/\Awhsec_/', '', $each), true);
        if ($key === false) {
            throw new RuntimeException('the secret is not whole');
        }
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
 * The simpler way, by x-webhook-signature: it says nothing of the time, so it does not see a replay.
 *
 * @param array<string, string> $headers
 */
function emailgistics_verify_body(array $headers, string $body, string $secret): bool
{
    $given = array_change_key_case($headers, CASE_LOWER)['x-webhook-signature'] ?? '';
    return hash_equals(hash_hmac('sha256', $body, $secret), $given);
}
