// The classic, letter for letter.
using System;
using System.Runtime.Remoting.Channels;
using System.Runtime.Remoting.Channels.Tcp;

public class Classic
{
    public static void Main()
    {
        ChannelServices.RegisterChannel(new TcpChannel(), false);
        RemoteObjectDef remote = (RemoteObjectDef)Activator.GetObject(typeof(RemoteObjectDef), "tcp://localhost:1233/RemoteObjectURL");
        remote.SetValue("000");
        Console.WriteLine("done: yes");
    }
}
