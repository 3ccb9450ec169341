import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import ch.qos.logback.classic.Level;
import com.alibaba.fastjson2.JSON;
import com.alibaba.fastjson2.JSONWriter;
import com.alibaba.otter.canal.common.AbstractCanalLifeCycle;
import com.alibaba.otter.canal.common.alarm.CanalAlarmHandler;
import com.alibaba.otter.canal.connector.core.producer.MQMessageUtils;
import com.alibaba.otter.canal.instance.manager.CanalInstanceWithManager;
import com.alibaba.otter.canal.instance.manager.model.Canal;
import com.alibaba.otter.canal.instance.manager.model.CanalParameter;
import com.alibaba.otter.canal.protocol.ClientIdentity;
import com.alibaba.otter.canal.protocol.FlatMessage;
import com.alibaba.otter.canal.protocol.Message;
import com.alibaba.otter.canal.server.embedded.CanalServerWithEmbedded;

/**
 * What the real Canal sends to Kafka for a stretch of a binlog, one message a line on standard output.
 *
 * <pre>
 * java -Duser.timezone=UTC -cp CLASSPATH CanalReader HOST PORT USER PASSWORD FILE OFFSET FILTER MARKER [GTIDS]
 * </pre>
 *
 * FILTER is Canal's own, a regular expression such as {@code shop\\..*}; MARKER is a table as {@code db.table}, read whether or not
 * FILTER names it. The reader ends after the first message with rows of MARKER: all that was committed before them has been printed.
 * With GTIDS, a set of executed transactions that must not be empty, it starts behind them instead of at FILE and OFFSET, and only
 * then are there texts under {@code gtid}.
 *
 * Canal asks the server how a table looks when it meets its first rows: tables are to be there, with the columns that those rows
 * have. It cannot read a binlog in which any table, of whatever database, has a VECTOR column, nor tables with a backtick in their names.
 *
 * The bytes are made by the classes that Canal's Kafka producer uses, with the same options, for a topic of one partition. Words
 * about the work go to standard error. Canal itself would try again for ever; here the first failure ends the program with code 1,
 * and so does {@code -Didle=SECONDS} (60) without any message. What Canal cannot decode it says only when the next event comes, which
 * may be the server's heartbeat after 15 s.
 */
public class CanalReader {
    private static final String DESTINATION = "oracle";

    public static void main(String[] args) throws Exception {
        // Nothing but messages reaches standard output, whatever a library prints.
        OutputStream out = new FileOutputStream(FileDescriptor.out);
        System.setOut(System.err);
        if (args.length != 8 && args.length != 9) {
            System.err.println("usage: CanalReader HOST PORT USER PASSWORD FILE OFFSET FILTER MARKER [GTIDS]");
            System.exit(2);
        }
        ch.qos.logback.classic.Logger log = (ch.qos.logback.classic.Logger) LoggerFactory.getLogger(Logger.ROOT_LOGGER_NAME);
        log.setLevel(Level.valueOf(System.getProperty("log", "WARN")));
        try {
            read(parameter(args), args[6], args[7], out);
        } catch (Throwable e) {
            fail(e.toString());
        }
        Runtime.getRuntime().halt(0);    // Canal's threads would go on
    }

    private static void read(CanalParameter parameter, String filter, String marker, OutputStream out) throws Exception {
        String both = filter + "," + marker.replace(".", "\\.");
        CanalServerWithEmbedded server = CanalServerWithEmbedded.instance();
        server.setCanalInstanceGenerator(destination -> {
            Canal canal = new Canal();
            canal.setId(1L);
            canal.setName(destination);
            canal.setCanalParameter(parameter);
            CanalInstanceWithManager instance = new CanalInstanceWithManager(canal, both);
            instance.setAlarmHandler(new Fail());
            return instance;
        });
        server.start();
        server.start(DESTINATION);
        ClientIdentity client = new ClientIdentity(DESTINATION, (short) 1, both);
        server.subscribe(client);

        ThreadPoolExecutor parsers = new ThreadPoolExecutor(1, 1, 0, TimeUnit.SECONDS,
            new ArrayBlockingQueue<>(16), new ThreadPoolExecutor.CallerRunsPolicy());
        long idle = TimeUnit.SECONDS.toNanos(Long.getLong("idle", 60));
        long last = System.nanoTime();
        while (true) {
            Message message = server.getWithoutAck(client, 1000, 100L, TimeUnit.MILLISECONDS);
            if (message.getId() == -1) {    // nothing new
                if (System.nanoTime() - last > idle) {
                    fail("no message for " + TimeUnit.NANOSECONDS.toSeconds(idle) + " s, and none of " + marker);
                }
                continue;
            }
            last = System.nanoTime();
            for (FlatMessage flat : MQMessageUtils.messageConverter(MQMessageUtils.buildMessageData(message, parsers), message.getId())) {
                byte[] json = JSON.toJSONBytes(flat, JSONWriter.Feature.WriteNulls);
                byte[] line = Arrays.copyOf(json, json.length + 1);
                line[json.length] = '\n';
                out.write(line);
                if (flat.getData() != null && marker.equals(flat.getDatabase() + "." + flat.getTable())) {
                    return;
                }
            }
            server.ack(client, message.getId());
        }
    }

    /** Settings as in Canal's own example of an instance, as far as they reach the messages; everything is kept in memory. */
    private static CanalParameter parameter(String[] args) {
        CanalParameter parameter = new CanalParameter();
        parameter.setMetaMode(CanalParameter.MetaMode.MEMORY);
        parameter.setIndexMode(CanalParameter.IndexMode.MEMORY);
        parameter.setStorageMode(CanalParameter.StorageMode.MEMORY);
        parameter.setHaMode(CanalParameter.HAMode.HEARTBEAT);
        parameter.setSourcingType(CanalParameter.SourcingType.MYSQL);
        InetSocketAddress address = new InetSocketAddress(args[0], Integer.parseInt(args[1]));
        parameter.setGroupDbAddresses(Collections.singletonList(
            Collections.singletonList(new CanalParameter.DataSourcing(CanalParameter.SourcingType.MYSQL, address))));
        parameter.setDbUsername(args[2]);
        parameter.setDbPassword(args[3]);
        parameter.setDefaultDatabaseName("");
        // A server ends a dump when another one comes with the same id.
        parameter.setSlaveId(1_000_000_000L + ProcessHandle.current().pid());
        StringBuilder position = new StringBuilder();
        position.append("{\"journalName\":\"").append(args[4]).append("\",\"position\":").append(Long.parseLong(args[5]));
        if (args.length == 9) {
            position.append(",\"gtid\":\"").append(args[8].replaceAll("\\s", "")).append('"');
        }
        parameter.setPositions(Collections.singletonList(position.append('}').toString()));
        parameter.setGtidEnable(args.length == 9);
        parameter.setTsdbEnable(false);    // tables are as the server has them now
        parameter.setDetectingEnable(false);
        parameter.setParallel(true);
        return parameter;
    }

    /** Canal's alarms are what stops it from reading on. */
    private static class Fail extends AbstractCanalLifeCycle implements CanalAlarmHandler {
        @Override
        public void sendAlarm(String destination, String message) {
            fail(message);
        }
    }

    private static void fail(String message) {
        System.err.println("CanalReader: " + message);
        Runtime.getRuntime().halt(1);    // without waiting for anybody's locks
    }
}
