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

const tolerance = 5 * time.Minute

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
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			return errors.New("the secret is not whole")
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
func VerifyBody(headers http.Header, body []byte, secret string) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hmac.Equal([]byte(headers.Get("x-webhook-signature")), []byte(hex.EncodeToString(mac.Sum(nil))))
}
