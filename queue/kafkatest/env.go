package kafkatest

import "os"

// Names of environment variables that say where a broker is that tests shall use instead of starting one.
const (
	envAddr     = "PUSHD_TEST_KAFKA"
	envSASLAddr = "PUSHD_TEST_KAFKA_SASL"
	envCA       = "PUSHD_TEST_KAFKA_CA"
	envUser     = "PUSHD_TEST_KAFKA_USER"
	envPassword = "PUSHD_TEST_KAFKA_PASSWORD"
)

// Env returns name=value of the environment variables that lead FromEnv to this broker.
func (k *Kafka) Env() []string {
	return []string{
		envAddr + "=" + k.Addr,
		envSASLAddr + "=" + k.SASLAddr,
		envCA + "=" + k.CAFile,
		envUser + "=" + k.User,
		envPassword + "=" + k.Password,
	}
}

// FromEnv returns the broker that PUSHD_TEST_KAFKA (host:port) and its companions lead to, or nil where it is not set.
// It was started by somebody else and cannot be restarted; stopping it does nothing. Where there is no listener with
// TLS and SCRAM, SASLAddr is empty.
func FromEnv() *Kafka {
	addr := os.Getenv(envAddr)
	if addr == "" {
		return nil
	}
	return &Kafka{Addr: addr, SASLAddr: os.Getenv(envSASLAddr), CAFile: os.Getenv(envCA), User: os.Getenv(envUser), Password: os.Getenv(envPassword)}
}
