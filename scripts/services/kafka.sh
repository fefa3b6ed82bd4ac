# shellcheck shell=bash
# One Apache Kafka process, broker and controller, in DIR/kafka, with two listeners: PLAINTEXT, and SASL_SSL
# with a certificate authority of its own and one user (SCRAM-SHA-512 or PLAIN).

kafka_files=$here/kafka
kafka_user=vcc-link
kafka_java=${JAVA_HOME:+$JAVA_HOME/bin/}java
# Named after what it is made from, so another version is fetched anew.
kafka_cache=$services_cache/kafka-$(cksum <"$kafka_files/pom.xml" | cut -d ' ' -f 1)
kafka_otherwise='Instead, set KAFKA_HOME to an unpacked Apache Kafka 4, or VCC_LINK_TEST_KAFKA to the bootstrap address of a running one.'

# Prints the class path: KAFKA_HOME's jars, else those that Maven fetched into the cache folder.
kafka_jars() {
  local folder=$kafka_cache
  if [[ -n ${KAFKA_HOME:-} ]]; then
    folder=$KAFKA_HOME/libs
    compgen -G "$folder/kafka_2.13-4.*.jar" >/dev/null ||
      fail "KAFKA_HOME=$KAFKA_HOME holds no Apache Kafka 4 (libs/kafka_2.13-4.*.jar)"
  fi
  [[ -d $folder ]] || kafka_fetch
  (IFS=: && jars=("$folder"/*.jar) && echo "${jars[*]}")
}

# The cache folder appears whole or not at all, however this ends.
kafka_fetch() {
  local fetching=$kafka_cache.$$ log=$kafka_cache.log
  command -v mvn >/dev/null || fail "Maven is needed to fetch Apache Kafka. $kafka_otherwise"
  say "fetching Apache Kafka's jars with Maven (46 MB, once)"
  mkdir -p "$fetching"
  if ! timeout 600 mvn --batch-mode --no-transfer-progress --file "$kafka_files/pom.xml" \
    dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$fetching" >"$log" 2>&1 </dev/null; then
    rm -rf "$fetching"
    grep -m 5 ERROR "$log" >&2 || tail -n 5 "$log" >&2
    fail "Maven could not fetch Apache Kafka's jars (all it said: $log). $kafka_otherwise"
  fi
  mv -T "$fetching" "$kafka_cache" 2>/dev/null || rm -rf "$fetching"
}

# An authority, and a certificate for this machine, for this run only.
kafka_certificates() {
  local dir=$1
  {
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=vcc-link test authority' \
      -keyout "$dir/ca.key" -out "$dir/ca.pem"
    openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' -keyout "$dir/server.key" -out "$dir/server.csr"
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
      -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') -out "$dir/server.crt"
  } >"$dir/openssl.log" 2>&1 || fail "openssl failed: $(cat "$dir/openssl.log")"
  cat "$dir/server.key" "$dir/server.crt" >"$dir/server.pem"
}

kafka_configure() {
  local dir=$1 jars=$2 plain sasl controller password
  plain=$(free_port) sasl=$(free_port) controller=$(free_port) password=$(random_password)
  mkdir -p "$dir"
  chmod 700 "$dir"
  kafka_certificates "$dir"
  cat "$kafka_files/server.properties" - >"$dir/server.properties" <<CONF

# This run.
log.dirs=$dir/data
listeners=PLAINTEXT://127.0.0.1:$plain,SASL_SSL://127.0.0.1:$sasl,CONTROLLER://127.0.0.1:$controller
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listener.name.sasl_ssl.ssl.keystore.location=$dir/server.pem
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$kafka_user="$password";
CONF
  "$kafka_java" -Xmx256m -XX:-UsePerfData -XX:TieredStopAtLevel=1 -cp "$jars" \
    -Dlog4j2.configurationFile="$kafka_files/log4j2.properties" -Dkafka.log.file="$dir/format.log" \
    kafka.tools.StorageTool format --standalone \
    --cluster-id vcc-link-test-clusterA --config "$dir/server.properties" \
    --add-scram "SCRAM-SHA-512=[name=$kafka_user,password=$password]" >"$dir/format.output" 2>&1 ||
    fail "Kafka's storage could not be formatted: $(tail -n 20 "$dir/format.output")"
  write_env "$dir/env" \
    VCC_LINK_TEST_KAFKA "127.0.0.1:$plain" \
    VCC_LINK_TEST_KAFKA_SASL_SSL "127.0.0.1:$sasl" \
    VCC_LINK_TEST_KAFKA_CA "$dir/ca.pem" \
    VCC_LINK_TEST_KAFKA_USER "$kafka_user" \
    VCC_LINK_TEST_KAFKA_PASSWORD "$password" \
    VCC_LINK_TEST_KAFKA_CLASSPATH "$jars"
}

# Starts, or starts again on the same data and ports.
kafka_start() {
  local dir=$1/kafka jars
  jars=$(kafka_jars)
  say 'starting Apache Kafka'
  [[ -f $dir/env ]] || kafka_configure "$dir" "$jars"
  rm -f "$dir/kafka.log"
  launch "$dir" "$kafka_java" -Xms256m -Xmx512m -XX:-UsePerfData -XX:+ExitOnOutOfMemoryError -cp "$jars" \
    -Dlog4j2.configurationFile="$kafka_files/log4j2.properties" -Dkafka.log.file="$dir/kafka.log" \
    kafka.Kafka "$dir/server.properties"
  wait_until 90 'Kafka to start' kafka_is_settled "$dir" || true
  kafka_is_ready "$dir" || fail "Kafka did not start: $(tail -n 20 "$dir/output" "$dir/kafka.log")"
}

# Kafka says so once its listeners are open and the controller lets it serve.
kafka_is_ready() { grep -q 'Kafka Server started' "$1/kafka.log" 2>/dev/null; }

kafka_is_settled() { kafka_is_ready "$1" || is_down "$1"; }

kafka_stop() { end_process "$1/kafka" TERM 20 || kafka_kill "$1"; }

kafka_kill() { end_process "$1/kafka" KILL 10; }
