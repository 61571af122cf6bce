// Package emailgistics verifies webhooks of Emailgistics. Standard library only; copy this file.
//
//	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
//	err = emailgistics.Verify(r.Header, body, time.Now(), secret)
package emailgistics

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	tolerance   = 5 * time.Minute
	prefix      = "whsec_"
	minKeyBytes = 24
)

// Verify checks a request. body is the octets as received; several secrets may be given while one is exchanged for
// another.
func Verify(headers http.Header, body []byte, now time.Time, secrets ...string) error {
	timestamp := headers.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || len(timestamp) > 11 {
		return errors.New("webhook-timestamp is missing or no number")
	}
	head := headers.Get("webhook-id") + "." + timestamp + "."
	isRight := false
	// one for each secret that counts at the sender; all are compared, each in constant time
	for _, secret := range secrets {
		key, err := keyOf(secret)
		if err != nil {
			return err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(head))
		mac.Write(body)
		expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		for _, given := range strings.Split(headers.Get("webhook-signature"), " ") {
			isRight = hmac.Equal([]byte(given), expected) || isRight
		}
	}
	if !isRight {
		return errors.New("no signature in webhook-signature is right")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return errors.New("webhook-timestamp is more than 5 minutes off")
	}
	return nil
}

// VerifyBody is the simpler way, by x-webhook-signature: it says nothing of the time, so it does not see a replay.
func VerifyBody(headers http.Header, body []byte, secret string) error {
	if _, err := keyOf(secret); err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	if !hmac.Equal([]byte(headers.Get("x-webhook-signature")), []byte(hex.EncodeToString(mac.Sum(nil)))) {
		return errors.New("x-webhook-signature is not right")
	}
	return nil
}

func keyOf(secret string) ([]byte, error) {
	encoded := strings.TrimPrefix(secret, prefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	// anybody can sign with the empty key, which is what a variable that is not set, or a placeholder, would become
	isStrict := err == nil && encoded != secret && base64.StdEncoding.EncodeToString(key) == encoded
	if !isStrict || len(key) < minKeyBytes {
		return nil, errors.New("no secret is configured: it is whsec_ and at least 24 octets in base64")
	}
	return key, nil
}
