<?php

// Reads one request in JSON and says what docs/verify/verify.php makes of it.

require $argv[1];

$asked = json_decode(stream_get_contents(STDIN), true, 512, JSON_THROW_ON_ERROR);
$secret = $asked['secret'] ?? false;
$body = hex2bin($asked['body']);
$answer = [];
try {
    $answer['event'] = emailgistics_verify($asked['headers'], $body, $secret, $asked['now']);
} catch (RuntimeException $error) {
    $answer['refused'] = $error->getMessage();
}
try {
    $answer['simple'] = emailgistics_verify_body($asked['headers'], $body, is_array($secret) ? $secret[0] : $secret);
} catch (RuntimeException $error) {
    $answer['simpleRefused'] = $error->getMessage();
}
echo json_encode($answer, JSON_THROW_ON_ERROR);
