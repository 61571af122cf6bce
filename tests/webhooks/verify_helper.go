// Reads one request in JSON and says what docs/verify/verify.go makes of it.
package main

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"time"

	"receiver/emailgistics"
)

func main() {
	var asked struct {
		Headers map[string]string
		Body    string
		Secret  any
		Now     int64
	}
	must(json.NewDecoder(os.Stdin).Decode(&asked))
	body, err := hex.DecodeString(asked.Body)
	must(err)
	headers := http.Header{}
	for name, value := range asked.Headers {
		headers.Set(name, value)
	}
	secrets := secretsOf(asked.Secret)
	answer := map[string]any{}
	if err := emailgistics.Verify(headers, body, time.Unix(asked.Now, 0), secrets...); err != nil {
		answer["refused"] = err.Error()
	} else {
		answer["event"] = json.RawMessage(body)
	}
	err = emailgistics.VerifyBody(headers, body, secrets[0])
	if err != nil && strings.HasPrefix(err.Error(), "no secret") {
		answer["simpleRefused"] = err.Error()
	} else {
		answer["simple"] = err == nil
	}
	must(json.NewEncoder(os.Stdout).Encode(answer))
}

// What a variable that is not set would be is the empty secret.
func secretsOf(given any) []string {
	switch given := given.(type) {
	case string:
		return []string{given}
	case []any:
		var secrets []string
		for _, one := range given {
			secrets = append(secrets, one.(string))
		}
		return secrets
	default:
		return []string{""}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
