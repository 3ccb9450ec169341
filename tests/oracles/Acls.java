import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/**
 * Gives a user rights, and returns when the broker knows them. A right is a kind of thing, its name and an operation, with colons
 * between them: TOPIC:orders:WRITE, CLUSTER:kafka-cluster:DESCRIBE.
 *
 *   java -cp "$TIDEGATE_TEST_KAFKA_JARS/*" tests/oracles/Acls.java BROKERS USER RIGHT…
 */
public class Acls {
    public static void main(String[] arguments) throws Exception {
        List<AclBinding> bindings = new ArrayList<>();
        for (String right : Arrays.asList(arguments).subList(2, arguments.length)) {
            String[] parts = right.split(":");
            ResourcePattern thing = new ResourcePattern(ResourceType.fromString(parts[0]), parts[1], PatternType.LITERAL);
            AclOperation operation = AclOperation.fromString(parts[2]);
            bindings.add(new AclBinding(thing, new AccessControlEntry("User:" + arguments[1], "*", operation, AclPermissionType.ALLOW)));
        }
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", arguments[0]))) {
            admin.createAcls(bindings).all().get();
            while (!admin.describeAcls(AclBindingFilter.ANY).values().get().containsAll(bindings)) {
                Thread.sleep(20);
            }
        }
    }
}
