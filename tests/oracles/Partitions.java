import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.kafka.common.utils.Utils;

/**
 * Says which partition a row goes to, by Java's own String.hashCode and Kafka's own murmur2. A line of standard input is a question:
 * rule, number of partitions, database, table and values, with tabs between them; texts and values are the hexadecimal digits of
 * their UTF-8, and a dot is NULL. Each answer is a line.
 *
 *   java -cp "$TIDEGATE_TEST_KAFKA_JARS/*" tests/oracles/Partitions.java
 */
public class Partitions {
    public static void main(String[] arguments) throws IOException {
        StringBuilder answers = new StringBuilder();
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = questions.readLine()) != null; ) {
            String[] fields = line.split("\t", -1);
            int count = Integer.parseInt(fields[1]);
            String database = text(fields[2]);
            String table = text(fields[3]);
            answers.append(switch (fields[0]) {
                case "canal table" -> Math.abs(Math.abs(table.hashCode()) % count);
                case "dts table" -> Math.floorMod((database + "." + table).hashCode(), count);
                case "canal" -> {
                    int hash = database.hashCode();
                    for (int i = 4; i < fields.length; i++) {
                        hash ^= text(fields[i]).hashCode();
                    }
                    yield Math.abs(Math.abs(hash) % count);
                }
                case "dts" -> Math.floorMod(joined(fields).hashCode(), count);
                case "murmur2" -> Utils.toPositive(Utils.murmur2(bytes(fields[4]))) % count;
                case "murmur2 row" -> Utils.toPositive(Utils.murmur2(joined(fields).getBytes(StandardCharsets.UTF_8))) % count;
                default -> throw new IllegalArgumentException(fields[0]);
            }).append('\n');
        }
        System.out.print(answers);
    }

    static String joined(String[] fields) {
        StringBuilder joined = new StringBuilder();
        for (int i = 4; i < fields.length; i++) {
            joined.append(i == 4 ? "" : ",").append(text(fields[i]));
        }
        return joined.toString();
    }

    static String text(String field) {
        return field.equals(".") ? "" : new String(bytes(field), StandardCharsets.UTF_8);
    }

    static byte[] bytes(String field) {
        return HexFormat.of().parseHex(field);
    }
}
